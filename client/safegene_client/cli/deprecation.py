"""Commands that say that something should not be used any more, and take that back."""

import click

from safegene_client.cli.options import Connect, example, with_output, with_registry
from safegene_client.cli.output import Output
from safegene_client.problems import plain_text


@click.command(
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene deprecate acme/guard@1.2.0 --message 'too old'",
        "SAFEGENE_TOKEN=sgt_… safegene deprecate acme/guard --message 'see guard2'"
        " --successor acme/guard2",
    )
)
@click.argument("ref")
@click.option("--message", required=True, help="For everybody who asks for it.")
@click.option("--successor", metavar="REF", help="What to use in its place.")
@with_registry
@with_output
def deprecate(
    output: Output, *, connect: Connect, ref: str, message: str, successor: str | None
) -> None:
    """Say that the version REF, or all of a vector, should not be used any more.

    It works as before; who pulls it is warned. `safegene undeprecate` takes it back.
    """
    found = connect().deprecate(ref, message, successor=successor)
    output.result(
        {"ref": ref, "deprecated": found.model_dump(mode="json")},
        f"deprecated {ref}: {plain_text(found.message)}",
    )


@click.command(
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene undeprecate acme/guard@1.2.0",
    )
)
@click.argument("ref")
@with_registry
@with_output
def undeprecate(output: Output, *, connect: Connect, ref: str) -> None:
    """Take back that the version REF, or all of a vector, should not be used."""
    connect().undeprecate(ref)
    output.result({"ref": ref, "deprecated": None}, f"{ref} is not deprecated")
