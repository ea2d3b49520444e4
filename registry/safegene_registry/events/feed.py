"""Reading a chain from where one has got to.

Positions have no gaps and are visible in their order, so who asks for what is behind
the last position that they have seen misses nothing, however long they were away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from safegene_registry.access import Action, Decision, decide
from safegene_registry.db import Database
from safegene_registry.events import event_repository
from safegene_registry.events.auditing import link_of
from safegene_registry.events.schemas import EventDetail, EventPage
from safegene_registry.guards import Access
from safegene_registry.models import EventRow
from safegene_registry.problems import Fault, ProblemError


@dataclass(frozen=True, slots=True)
class Batch:
    """Events behind a position."""

    rows: Sequence[EventRow]
    last: int
    """Position up to which nothing was left out."""
    more: bool


def sees_everything(access: Access) -> bool:
    """Whether a caller sees what is for owners only."""
    return decide(Action.MANAGE, access.standing) is Decision.ALLOW


def read_batch(
    database: Database, namespace: str, *, after: int, limit: int, everything: bool
) -> Batch:
    """Events behind a position, in one snapshot.

    Args:
        database: of the registry.
        namespace: whose chain.
        after: the position.
        limit: at most so many.
        everything: also those that are for owners only.

    Raises:
        ProblemError: `invalid-request`: the chain has not got so far.
    """
    with database.reading() as session:
        found = event_repository.find_end(session, namespace)
        end = 0 if found is None else found[0]
        if after > end:
            raise ahead(namespace, after, end)
        rows = event_repository.list_events(
            session, namespace, after=after, limit=limit + 1, everything=everything
        )
    more = len(rows) > limit
    rows = rows[:limit]
    return Batch(rows, rows[-1].position if more else end, more)


def ahead(namespace: str, after: int, end: int) -> ProblemError:
    """The problem of a position that a chain does not have yet.

    Waiting for it would be missing what comes before it: the registry was restored
    from a backup, or this is another one.
    """
    detail = (
        f"The last event of {namespace} is {end}, and what is asked for lies behind"
        f" {after}: the position is of another registry, or this one was restored from"
        " a backup. Look at everything anew, and go on from the last event."
    )
    fault = Fault("/query/after", f"expected at most {end}, got {after}")
    return ProblemError(detail, "invalid-request", faults=[fault])


def event_page(batch: Batch, *, everything: bool) -> EventPage:
    """Events as the interface shows them."""
    items = [event_detail(row, everything=everything) for row in batch.rows]
    return EventPage(items=items, last=batch.last, more=batch.more)


def event_detail(row: EventRow, *, everything: bool) -> EventDetail:
    """An event as the interface shows it, to an owner or to others."""
    link = link_of(row)
    return EventDetail(
        namespace=link.namespace,
        position=link.position,
        kind=link.kind,
        at=link.at,
        vector=link.vector,
        version=link.version,
        details=dict(link.details),
        actor=link.actor if everything else None,
        token_id=link.token_id if everything else None,
        previous=link.previous,
        digest=row.digest,
    )
