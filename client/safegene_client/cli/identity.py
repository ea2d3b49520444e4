"""The command that turns a CI job's identity into a token."""

import click

from safegene_client.cli.options import Connect, example, with_output, with_registry
from safegene_client.cli.output import Output
from safegene_client.identity import DEFAULT_AUDIENCE, find_jwt


@click.command(
    epilog=example(
        "export SAFEGENE_TOKEN=$(safegene exchange acme)",
    )
)
@click.argument("namespace")
@click.option(
    "--audience",
    default=DEFAULT_AUDIENCE,
    show_default=True,
    help="Whom the JWT is for, as the trusted publisher says.",
)
@with_registry
@with_output
def exchange(
    output: Output, *, connect: Connect, namespace: str, audience: str
) -> None:
    """Exchange a CI job's JWT for a token that publishes into NAMESPACE.

    The token is printed; it lives for minutes and opens nothing else. The JWT comes
    from GitHub Actions or from SAFEGENE_OIDC_TOKEN.
    """
    registry = connect()
    found = registry.exchange(namespace, find_jwt(audience=audience))
    output.result(found.model_dump(mode="json"), found.token)
