"""`record`: what every change calls, in the transaction that makes it.

Nothing is written at once. When the transaction is about to commit, and only then, the
events that were recorded in it take their places in the chain of their namespace, under
a lock on its end. Everybody who records in that namespace waits for that lock, so it is
held for as short as can be, it is always the last one taken, and the order of the
positions is the order of the commits: who has seen an event has seen all before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.orm import Session

from safegene.artifact.canonical import MAX_INTEGER
from safegene_registry import token_repository
from safegene_registry.access import Principal
from safegene_registry.events import event_repository
from safegene_registry.events.chain import Link
from safegene_registry.events.kinds import Kind

PENDING = "events to come"
"""Where a session keeps what was recorded in its transaction."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An event that has no place yet."""

    namespace: str
    kind: Kind
    actor: str
    token_id: UUID | None
    vector: str | None
    version: str | None
    details: Mapping[str, Any]


def record(
    session: Session,
    namespace: str,
    kind: Kind,
    *,
    by: Principal | str,
    vector: str | None = None,
    version: str | None = None,
    **details: Any,
) -> None:
    """Have the transaction say what it does, if it commits.

    Args:
        session: of `Database.writing`.
        namespace: whose chain it belongs to; it exists when the transaction commits.
        kind: what has happened.
        by: who does: the caller, the id of a token as text, or how it was done.
        vector: name of the vector within the namespace, if it is about one.
        version: in its canonical spelling, if it is about one.
        details: what else to say, in what canonical JSON can hold; integers that it
            cannot become text. Never a secret.
    """
    actor, token_id = named(by)
    said = {name: storable(value) for name, value in details.items()}
    pending = Pending(namespace, kind, actor, token_id, vector, version, said)
    waiting: list[Pending] | None = session.info.get(PENDING)
    if waiting is None:
        waiting = session.info[PENDING] = []
        event.listen(session, "before_commit", write_down, once=True)
    waiting.append(pending)


def write_down(session: Session) -> None:
    """Give the transaction's events their places; nothing is locked after this."""
    waiting: list[Pending] = session.info.pop(PENDING)
    named = [with_actor(session, pending) for pending in waiting]
    # In one order everywhere, so that nobody waits in a circle.
    for namespace in sorted({pending.namespace for pending in named}):
        append(session, namespace, [one for one in named if one.namespace == namespace])


def with_actor(session: Session, pending: Pending) -> Pending:
    """The same with the account's name where only the token was known."""
    if pending.token_id is None or pending.actor != str(pending.token_id):
        return pending
    found = token_repository.get_token(session, pending.token_id)
    return pending if found is None else replace(pending, actor=found[1].name)


def append(session: Session, namespace: str, events: list[Pending]) -> None:
    """Put events behind the last one of the namespace."""
    session.flush()
    position, previous = event_repository.lock_end(session, namespace)
    links = []
    for pending in events:
        position += 1
        link = Link(
            namespace=namespace,
            position=position,
            kind=str(pending.kind),
            at=datetime.now(UTC),
            actor=pending.actor,
            token_id=pending.token_id,
            vector=pending.vector,
            version=pending.version,
            details=pending.details,
            previous=previous,
        )
        previous = link.digest()
        links.append((link, previous))
    event_repository.add_events(session, links)


def named(by: Principal | str) -> tuple[str, UUID | None]:
    """Who does something, and with which token."""
    if isinstance(by, Principal):
        return by.account, by.token_id
    return by, parsed_id(by)


def storable(value: Any) -> Any:
    """The same where canonical JSON can hold it, with text for what it cannot."""
    if isinstance(value, Mapping):
        return {key: storable(item) for key, item in value.items()}
    if isinstance(value, int) and abs(value) >= MAX_INTEGER:
        return str(value)
    return value


def parsed_id(text: str) -> UUID | None:
    """The id of a token, if it is one."""
    try:
        return UUID(text)
    except ValueError:
        return None
