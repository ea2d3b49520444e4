"""Commands that hide a version from resolution, and take that back."""

import click

from safegene_client.answers import YankedVersion
from safegene_client.cli.options import Connect, example, with_output, with_registry
from safegene_client.cli.output import Output
from safegene_client.problems import plain_text


@click.command(
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene yank acme/guard@1.2.0 --reason 'refuses code'",
    )
)
@click.argument("ref")
@click.option(
    "--reason", required=True, help="For everybody who asks for the version still."
)
@with_registry
@with_output
def yank(output: Output, *, connect: Connect, ref: str, reason: str) -> None:
    """Hide the version REF from resolution.

    Ranges, aliases and `safegene compatible` do not find it any more; who names it by
    number or digest gets it still, with a warning. `safegene unyank` takes it back.
    """
    found = connect().yank(ref, reason)
    said = plain_text(found.yanked.reason) if found.yanked else ""
    if found.aliases:
        output.warn(
            f"{', '.join(found.aliases)} of {found.namespace}/{found.name} pointed at"
            " it and now means nothing; `safegene alias set` moves it"
        )
    output.result(_document(found), f"yanked {found.identity}: {said}")


@click.command(
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene unyank acme/guard@1.2.0",
    )
)
@click.argument("ref")
@with_registry
@with_output
def unyank(output: Output, *, connect: Connect, ref: str) -> None:
    """Let the version REF be resolved again."""
    found = connect().unyank(ref)
    output.result(_document(found), f"{found.identity} is resolved again")


def _document(found: YankedVersion) -> dict[str, object]:
    return {
        "identity": found.identity,
        "digest": found.digest,
        "aliases": list(found.aliases),
        "yanked": None if found.yanked is None else found.yanked.model_dump(),
    }
