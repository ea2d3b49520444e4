"""Every SQL statement about blobs on their way out.

Times are the database's, so that clocks of replicas need not agree.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, type_coerce
from sqlalchemy.orm import Session

from safegene_registry.db import UtcDateTime
from safegene_registry.models import Removal


def database_time(session: Session) -> datetime:
    """The time by the database's clock."""
    now = select(type_coerce(func.current_timestamp(), UtcDateTime))
    return session.scalars(now).one()


def write_down(session: Session, digests: Iterable[str], now: datetime) -> None:
    """These blobs are being removed from now on."""
    session.add_all(Removal(digest=digest, started_at=now) for digest in digests)
    session.flush()


def find_removals(session: Session, digests: Iterable[str]) -> dict[str, datetime]:
    """Which of these blobs are being removed, and since when."""
    query = select(Removal.digest, Removal.started_at)
    found = session.execute(query.where(Removal.digest.in_(list(digests))))
    return {row.digest: row.started_at for row in found}


def removals_before(session: Session, moment: datetime, limit: int) -> Sequence[str]:
    """Some blobs whose removal began before a moment and has not ended."""
    query = select(Removal.digest).where(Removal.started_at < moment)
    return session.scalars(query.order_by(Removal.digest).limit(limit)).all()


def strike_out(
    session: Session, digests: Iterable[str], *, at: datetime | None = None
) -> None:
    """These blobs are not being removed any more.

    Args:
        session: of the transaction.
        digests: of the blobs.
        at: only where this is the time that was written down; another process may have
            taken over.
    """
    removals = delete(Removal).where(Removal.digest.in_(list(digests)))
    if at is not None:
        removals = removals.where(Removal.started_at == at)
    session.execute(removals)
