"""Commands about what has happened in a namespace, and who is told of it."""

import click

from safegene_client.cli.options import (
    Connect,
    InOrder,
    example,
    with_output,
    with_registry,
)
from safegene_client.cli.output import Output, table
from safegene_client.happenings import Event
from safegene_client.problems import plain_text


@click.command(
    epilog=example(
        "safegene events acme",
        "safegene events acme --after 12 --follow",
    )
)
@click.argument("namespace")
@click.option(
    "--after",
    type=click.IntRange(0),
    default=0,
    metavar="POSITION",
    help="Only what is behind this position.",
)
@click.option("--follow", is_flag=True, help="Go on with what happens, line by line.")
@with_registry
@with_output
def events(
    output: Output, *, connect: Connect, namespace: str, after: int, follow: bool
) -> None:
    """List what has happened in NAMESPACE, the oldest first.

    Members, tokens and who did it show to owners, with a token of scope admin.
    """
    registry = connect()
    if follow:
        for event in registry.follow_events(namespace, after=after):
            output.line(event.model_dump(mode="json"), "  ".join(_row(event)).rstrip())
        return
    page = registry.events(namespace, after=after)
    rows = [_row(event) for event in page.items]
    output.result(
        {
            "events": [event.model_dump(mode="json") for event in page.items],
            "last": page.last,
        },
        table("position", "at", "kind", "about", "by", rows=rows)
        if rows
        else f"nothing behind {after}",
    )


def _row(event: Event) -> tuple[str, ...]:
    about = event.namespace
    if event.vector is not None:
        about += f"/{event.vector}" + (f"@{event.version}" if event.version else "")
    return (
        str(event.position),
        plain_text(event.at),
        plain_text(event.kind),
        plain_text(about),
        plain_text(event.actor or ""),
    )


@click.group(
    cls=InOrder,
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene webhooks add acme https://hooks.example.org/x",
        "safegene webhooks replay acme 0f36…",
    ),
)
def webhooks() -> None:
    """Have the events of a namespace sent to an address.

    It takes an owner's token of scope admin.
    """


@webhooks.command("list", epilog=example("safegene webhooks list acme"))
@click.argument("namespace")
@with_registry
@with_output
def list_webhooks(output: Output, *, connect: Connect, namespace: str) -> None:
    """List where the events of NAMESPACE are sent to, and how far each has got."""
    found = connect().webhooks(namespace)
    rows = [
        (
            each.id,
            plain_text(each.url),
            str(each.position),
            plain_text(each.error or ""),
        )
        for each in found
    ]
    output.result(
        {"webhooks": [_shown(each.model_dump(mode="json")) for each in found]},
        table("id", "address", "position", "error", rows=rows)
        if rows
        else "no webhooks",
    )


@webhooks.command(
    "add", epilog=example("safegene webhooks add acme https://hooks.example.org/x")
)
@click.argument("namespace")
@click.argument("address")
@with_registry
@with_output
def add_webhook(
    output: Output, *, connect: Connect, namespace: str, address: str
) -> None:
    """Send what happens in NAMESPACE to ADDRESS from now on.

    The secret that deliveries are signed with is shown this once.
    """
    found = connect().add_webhook(namespace, address)
    output.result(
        found.model_dump(mode="json"), f"webhook {found.id}, secret {found.secret}"
    )


@webhooks.command("remove", epilog=example("safegene webhooks remove acme 0f36…"))
@click.argument("namespace")
@click.argument("webhook")
@with_registry
@with_output
def remove_webhook(
    output: Output, *, connect: Connect, namespace: str, webhook: str
) -> None:
    """Send nothing to WEBHOOK any more."""
    connect().remove_webhook(namespace, webhook)
    output.result({"removed": webhook}, f"removed webhook {webhook}")


@webhooks.command(
    "deliveries", epilog=example("safegene webhooks deliveries acme 0f36…")
)
@click.argument("namespace")
@click.argument("webhook")
@with_registry
@with_output
def list_deliveries(
    output: Output, *, connect: Connect, namespace: str, webhook: str
) -> None:
    """List the events that WEBHOOK has not taken, however often they were sent."""
    found = connect().dead_letters(namespace, webhook)
    rows = [
        (
            str(each.position),
            plain_text(each.failed_at),
            "yes" if each.due else "no",
            plain_text(each.error),
        )
        for each in found
    ]
    output.result(
        {"dead_letters": [each.model_dump(mode="json") for each in found]},
        table("position", "failed at", "sent again", "error", rows=rows)
        if rows
        else "everything was taken",
    )


@webhooks.command("replay", epilog=example("safegene webhooks replay acme 0f36…"))
@click.argument("namespace")
@click.argument("webhook")
@click.option(
    "--position", type=click.IntRange(1), help="Only this event, not all of them."
)
@with_registry
@with_output
def replay(
    output: Output,
    *,
    connect: Connect,
    namespace: str,
    webhook: str,
    position: int | None,
) -> None:
    """Send what WEBHOOK has not taken once more, and what waits at once."""
    count = connect().replay(namespace, webhook, position=position)
    output.result({"count": count}, f"{count} events are sent once more")


def _shown(document: dict[str, object]) -> dict[str, object]:
    """Without the secret, which nobody can read again."""
    return {name: value for name, value in document.items() if name != "secret"}
