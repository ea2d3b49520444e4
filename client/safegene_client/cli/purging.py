"""The command that removes a version's bytes for good."""

import click

from safegene.errors import UsageError
from safegene_client.cli.options import Connect, example, with_output, with_registry
from safegene_client.cli.output import Output
from safegene_client.problems import plain_text


@click.command(
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene purge acme/guard@1.2.0 --reason 'court' --yes",
    )
)
@click.argument("ref")
@click.option("--reason", required=True, help="For everybody who asks for the version.")
@click.option("--yes", is_flag=True, help="Yes, for good: nothing takes it back.")
@with_registry
@with_output
def purge(
    output: Output, *, connect: Connect, ref: str, reason: str, yes: bool
) -> None:
    """Remove the bytes of the version REF for good, by law or after an accident.

    A tombstone stays with who, when and why; the number is never used again. For a
    version that is only bad there is `safegene yank`. It takes an owner's token of
    scope admin.
    """
    if not yes:
        message = (
            f"nothing brings back the bytes of {ref}; say --yes to remove them, or hide"
            " the version with `safegene yank`"
        )
        raise UsageError(message)
    found = connect().purge(ref, reason)
    kept = f"; {len(found.kept)} blobs of other versions stay" if found.kept else ""
    output.result(
        found.model_dump(mode="json"),
        f"purged {found.identity}: {plain_text(found.purged.reason)}{kept}",
    )
