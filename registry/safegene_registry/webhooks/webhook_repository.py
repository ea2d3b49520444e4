"""Every SQL statement about webhooks."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, delete, func, or_, select, update
from sqlalchemy.orm import Session

from safegene_registry.models import DeadLetter, EventEnd, EventRow, Webhook


def add_webhook(session: Session, webhook: Webhook) -> None:
    """Keep a new webhook; what the database fills in is there afterwards."""
    session.add(webhook)
    session.flush()
    session.refresh(webhook)


def find_webhook(session: Session, namespace: str, webhook_id: UUID) -> Webhook | None:
    """A webhook of a namespace."""
    query = select(Webhook).where(
        Webhook.namespace == namespace, Webhook.id == webhook_id
    )
    return session.scalar(query)


def list_webhooks(
    session: Session, namespace: str, *, after: UUID | None, limit: int
) -> Sequence[Webhook]:
    """Webhooks of a namespace, by id."""
    query = select(Webhook).where(Webhook.namespace == namespace)
    if after is not None:
        query = query.where(Webhook.id > after)
    return session.scalars(query.order_by(Webhook.id).limit(limit)).all()


def count_webhooks(session: Session, namespace: str) -> int:
    """How many webhooks a namespace has."""
    query = select(func.count()).where(Webhook.namespace == namespace)
    return session.scalars(query).one()


def delete_webhook(session: Session, webhook_id: UUID) -> None:
    """Send nothing there any more."""
    session.execute(delete(Webhook).where(Webhook.id == webhook_id))


def list_dead_letters(
    session: Session, webhook_id: UUID, *, after: int, limit: int
) -> Sequence[DeadLetter]:
    """What was not taken, by position."""
    query = select(DeadLetter).where(
        DeadLetter.webhook_id == webhook_id, DeadLetter.position > after
    )
    return session.scalars(query.order_by(DeadLetter.position).limit(limit)).all()


def make_due(session: Session, webhook_id: UUID, position: int | None) -> int:
    """Have one dead letter sent once more, or all of them; how many."""
    statement = update(DeadLetter).where(DeadLetter.webhook_id == webhook_id)
    if position is not None:
        statement = statement.where(DeadLetter.position == position)
    made = session.execute(
        statement.values(is_due=True).returning(DeadLetter.position)
    ).all()
    return len(made)


def due(now: datetime) -> Select[UUID]:
    """Webhooks that have something to send and that nobody is at work on."""
    letters = select(DeadLetter.position).where(
        DeadLetter.webhook_id == Webhook.id, DeadLetter.is_due.is_(True)
    )
    return (
        select(Webhook.id)
        .join(EventEnd, EventEnd.namespace == Webhook.namespace)
        .where(
            or_(Webhook.leased_until.is_(None), Webhook.leased_until <= now),
            or_(Webhook.retry_at.is_(None), Webhook.retry_at <= now),
            or_(Webhook.position < EventEnd.position, letters.exists()),
        )
    )


def is_any_due(session: Session, now: datetime) -> bool:
    """Whether there is a webhook to work on."""
    return session.scalar(due(now).limit(1)) is not None


def lease_webhooks(
    session: Session, now: datetime, until: datetime, limit: int
) -> Sequence[UUID]:
    """Take some webhooks to work on, which nobody else gets meanwhile."""
    query = due(now).order_by(Webhook.retry_at, Webhook.id).limit(limit)
    taken = session.scalars(query.with_for_update(of=Webhook, skip_locked=True)).all()
    if taken:
        leased = update(Webhook).where(Webhook.id.in_(list(taken)))
        session.execute(leased.values(leased_until=until))
    return taken


def end_lease(session: Session, webhook_id: UUID) -> None:
    """Let others work on a webhook."""
    session.execute(
        update(Webhook).where(Webhook.id == webhook_id).values(leased_until=None)
    )


def next_event(session: Session, webhook: Webhook) -> tuple[EventRow, bool] | None:
    """What to send next, and whether it is a dead letter that is due again."""
    letter = (
        select(DeadLetter.position)
        .where(DeadLetter.webhook_id == webhook.id, DeadLetter.is_due.is_(True))
        .order_by(DeadLetter.position)
        .limit(1)
    )
    position = session.scalar(letter)
    is_letter = position is not None
    row = session.get(
        EventRow, (webhook.namespace, position if is_letter else webhook.position + 1)
    )
    return None if row is None else (row, is_letter)


def get_webhook(session: Session, webhook_id: UUID) -> Webhook | None:
    """A webhook by its id."""
    return session.get(Webhook, webhook_id)


def get_dead_letter(
    session: Session, webhook_id: UUID, position: int
) -> DeadLetter | None:
    """A dead letter."""
    return session.get(DeadLetter, (webhook_id, position))


def add_dead_letter(session: Session, letter: DeadLetter) -> None:
    """Keep what was not taken."""
    session.add(letter)
    session.flush()


def delete_dead_letter(session: Session, webhook_id: UUID, position: int) -> None:
    """Forget a dead letter: it was taken."""
    session.execute(
        delete(DeadLetter).where(
            DeadLetter.webhook_id == webhook_id, DeadLetter.position == position
        )
    )
