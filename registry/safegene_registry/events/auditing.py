"""Going through chains: has anything been changed, left out, put in or moved?

Cost: every event is read and hashed once, some thousands at a time; the registry may be
running meanwhile. What came after the audit began is not looked at.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from safegene.artifact.canonical import parse_canonical
from safegene.errors import ManifestError
from safegene_registry.events import event_repository
from safegene_registry.events.chain import Link
from safegene_registry.models import EventRow

BATCH = 2000
"""Events that are read at once."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in a chain that no registry has written."""

    namespace: str
    position: int
    """Of the event; where one is missing, its own."""
    what: str
    """A sentence for people."""


@dataclass(frozen=True, slots=True)
class End:
    """The last event of a chain. Kept elsewhere, it stands for all before it."""

    namespace: str
    position: int
    digest: str


def link_of(row: EventRow) -> Link:
    """A stored event.

    Raises:
        ManifestError: its details are not canonical JSON.
    """
    details = parse_canonical(row.details.encode())
    if not isinstance(details, dict):
        message = f"expected an object, got {type(details).__name__}"
        raise ManifestError(message)
    return Link(
        namespace=row.namespace,
        position=row.position,
        kind=row.kind,
        at=row.at,
        actor=row.actor,
        token_id=row.token_id,
        vector=row.vector,
        version=row.version,
        details=details,
        previous=row.previous,
    )


def audit(
    session: Session, namespace: str, known: Mapping[int, str]
) -> tuple[list[Damage], End | None]:
    """Check the chain of one namespace.

    Args:
        session: of one snapshot.
        namespace: whose chain.
        known: digests by position that were written down before.

    Returns:
        What is wrong, by position, and the last event; None: there is none.
    """
    found: list[Damage] = []
    position, digest = 0, None
    left = dict(known)
    for row in events(session, namespace):
        found += [
            Damage(namespace, row.position, what)
            for what in wrong_with(row, position, digest, left.pop(row.position, None))
        ]
        # By what the row says, so that one damage is told once.
        position, digest = row.position, row.digest
    found += [
        Damage(namespace, at, f"is missing; its digest was {left[at]}")
        for at in sorted(left)
    ]
    found += wrong_end(session, namespace, position, digest)
    end = None if digest is None else End(namespace, position, digest)
    return found, end


def events(session: Session, namespace: str) -> Iterator[EventRow]:
    """Every event of a namespace, by position."""
    after = 0
    while batch := event_repository.list_events(
        session, namespace, after=after, limit=BATCH
    ):
        yield from batch
        after = batch[-1].position
        session.expunge_all()


def wrong_with(
    row: EventRow, before: int, previous: str | None, known: str | None
) -> Iterator[str]:
    """What is wrong with an event.

    Args:
        row: the event.
        before: position of the one before; 0: there is none.
        previous: digest of the one before.
        known: its digest, if it was written down.
    """
    if row.position != before + 1:
        missing = f"{before + 1}"
        if row.position > before + 2:
            missing += f" to {row.position - 1}"
        yield f"follows event {before}: {missing} missing"
    elif row.previous != previous:
        yield (
            f"names {row.previous} as the event before it, which has {previous}: one of"
            " the two was put here or moved"
        )
    try:
        digest = link_of(row).digest()
    except ManifestError as error:
        yield f"was changed: its details are not what a registry writes: {error}"
    else:
        if digest != row.digest:
            yield f"was changed: it has {digest}, and {row.digest} was written down"
    if known is not None and row.digest != known:
        yield f"was replaced: it had {known} when that was kept, and has {row.digest}"


def wrong_end(
    session: Session, namespace: str, position: int, digest: str | None
) -> Iterator[Damage]:
    """What is wrong with what is written down about the end of a chain."""
    written = event_repository.find_end(session, namespace)
    at, named = (0, None) if written is None else written
    if at > position:
        last = f"{position + 1}" + ("" if at == position + 1 else f" to {at}")
        yield Damage(namespace, at, f"is the last one written, and {last} missing")
    elif (at, named) != (position, digest):
        yield Damage(
            namespace,
            position,
            f"is the last one, with {digest}, but {at} with {named} was the last one"
            " written",
        )
