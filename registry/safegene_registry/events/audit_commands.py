"""The commands `audit verify` and `audit show`."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import click

from safegene_registry.command_line import (
    MANY,
    data_option,
    reading,
    say,
    table,
    told,
)

WHOLE, DAMAGED = "whole", "damaged"
FIELDS = 4
"""Of a line of `audit verify`."""

EXIT_DAMAGED = 1

namespace_option = click.option(
    "--namespace", default=None, help="Only its chain.  [default: of all namespaces]"
)


@click.group()
def audit() -> None:
    """Look at what has happened, and make sure that nobody has changed it since."""


@audit.command("verify")
@data_option
@namespace_option
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="What this command said before: those events must still be there.",
)
def verify(data: Path | None, namespace: str | None, against: Path | None) -> None:
    """Go through every event: was one changed, left out, put in or moved?

    One line for each chain on standard output: `whole`, namespace, position and digest
    of its last event. And one for each damage: `damaged`, namespace, position, what.
    Exit code 1: there is damage. Keep what it says where nobody can change it: who can
    write to the database could cut off the end of a chain, or make it anew.
    """
    from safegene_registry import membership
    from safegene_registry.events import auditing, event_repository

    known = {} if against is None else kept_digests(against.read_text("utf-8"))
    damages = 0
    with reading(data) as (_services, session):
        if namespace is None:
            names = known.keys() | event_repository.namespaces_with_events(session)
        else:
            names = {membership.find_namespace(session, namespace).name}
        for name in sorted(names):
            found, end = auditing.audit(session, name, known.get(name, {}))
            for damage in found:
                # It may be about text that somebody else has put there.
                what = " ".join(damage.what.split())
                say(f"{DAMAGED}\t{name}\t{damage.position}\t{what}")
            if end is not None and not found:
                say(f"{WHOLE}\t{name}\t{end.position}\t{end.digest}")
            damages += len(found)
    if damages:
        say(f"{damages} damaged; see docs/events.md on what to do.", err=True)
        raise click.exceptions.Exit(EXIT_DAMAGED)


def kept_digests(text: str) -> Mapping[str, Mapping[int, str]]:
    """Digests by position by namespace, of what `audit verify` said before."""
    kept: dict[str, dict[int, str]] = defaultdict(dict)
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split("\t")
        if fields[0] == WHOLE and len(fields) == FIELDS and fields[2].isdecimal():
            kept[fields[1]][int(fields[2])] = fields[3]
        elif fields[0] != DAMAGED:
            message = f"--against: line {number} is none of `audit verify`: {line!r}"
            raise click.UsageError(message)
    return kept


@audit.command("show")
@data_option
@click.argument("namespace")
@click.option(
    "--after",
    type=click.IntRange(0),
    default=0,
    help="Only events behind this position.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(data: Path | None, namespace: str, after: int, *, as_json: bool) -> None:
    """Say what has happened in a namespace: one event a line."""
    from safegene.artifact.canonical import canonical_json
    from safegene_registry import membership
    from safegene_registry.events import auditing, event_repository

    with reading(data) as (_services, session):
        membership.find_namespace(session, namespace)
        found = event_repository.list_events(
            session, namespace, after=after, limit=MANY
        )
    if as_json:
        for row in found:
            document = {**auditing.link_of(row).document(), "digest": row.digest}
            say(canonical_json(document).decode())
        return
    rows = [
        (
            *(row.position, told(row.at), row.kind, row.actor, row.token_id),
            *(row.vector, row.version, row.details),
        )
        for row in found
    ]
    names = ("position", "at", "kind", "actor", "token", "vector", "version")
    table((*names, "details"), rows)
