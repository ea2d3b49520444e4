"""Every SQL statement about events."""

from collections.abc import Collection, Sequence

from sqlalchemy import or_, select, union
from sqlalchemy.orm import Session

from safegene.artifact.canonical import canonical_json
from safegene_registry.events.chain import Link
from safegene_registry.events.kinds import OWNERS_ONLY
from safegene_registry.lock_repository import insert_missing
from safegene_registry.models import EventEnd, EventRow


def lock_end(session: Session, namespace: str) -> tuple[int, str | None]:
    """Keep others from adding to a chain until the transaction ends.

    Returns:
        Position and digest of its last event.
    """
    end = (
        select(EventEnd.position, EventEnd.digest)
        .where(EventEnd.namespace == namespace)
        .with_for_update()
    )
    found = session.execute(end).one_or_none()
    if found is None:
        # Another transaction may do the same, and is waited for.
        insert_missing(session, EventEnd.namespace, {namespace: {"position": 0}})
        found = session.execute(end).one()
    return found.position, found.digest


def add_events(session: Session, links: Sequence[tuple[Link, str]]) -> None:
    """Add events with their digests to a chain whose end the caller has locked."""
    session.add_all(
        EventRow(
            namespace=link.namespace,
            position=link.position,
            kind=link.kind,
            at=link.at,
            actor=link.actor,
            token_id=link.token_id,
            vector=link.vector,
            version=link.version,
            details=canonical_json(dict(link.details)).decode(),
            previous=link.previous,
            digest=digest,
        )
        for link, digest in links
    )
    last, digest = links[-1]
    end = session.get_one(EventEnd, last.namespace)
    end.position, end.digest = last.position, digest
    session.flush()


def list_events(
    session: Session,
    namespace: str,
    *,
    after: int,
    limit: int,
    everything: bool = True,
) -> Sequence[EventRow]:
    """Events of a namespace behind a position, in their order.

    Args:
        session: of the transaction.
        namespace: whose chain.
        after: the position.
        limit: at most so many.
        everything: also those that are for owners only.
    """
    query = select(EventRow).where(
        EventRow.namespace == namespace, EventRow.position > after
    )
    if not everything:
        hidden = (EventRow.kind.startswith(f"{subject}.") for subject in OWNERS_ONLY)
        query = query.where(~or_(*hidden))
    return session.scalars(query.order_by(EventRow.position).limit(limit)).all()


def find_end(session: Session, namespace: str) -> tuple[int, str | None] | None:
    """Position and digest of the last event of a namespace; None: it has no chain."""
    end = select(EventEnd.position, EventEnd.digest)
    found = session.execute(end.where(EventEnd.namespace == namespace)).one_or_none()
    return None if found is None else (found.position, found.digest)


def namespaces_with_events(session: Session) -> set[str]:
    """Namespaces that have a chain, or something left of one."""
    found = union(select(EventEnd.namespace), select(EventRow.namespace))
    return set(session.scalars(found))


def find_ends(session: Session, namespaces: Collection[str]) -> dict[str, int]:
    """Position of the last event of each namespace that has a chain."""
    query = select(EventEnd.namespace, EventEnd.position).where(
        EventEnd.namespace.in_(list(namespaces))
    )
    return {row.namespace: row.position for row in session.execute(query)}
