"""Statements about completions in the background; see `repositories`."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from safegene_registry.models import Completion


def find_completion(session: Session, upload_id: UUID) -> Completion | None:
    """The last completion of an upload, None when none was begun."""
    query = select(Completion).where(Completion.upload_id == upload_id)
    return session.scalar(query)


def begin_completion(
    session: Session, upload_id: UUID, claim: UUID, until: datetime
) -> None:
    """Take the place of whatever completion there was; the upload is locked."""
    session.execute(delete(Completion).where(Completion.upload_id == upload_id))
    session.add(Completion(upload_id=upload_id, claim=claim, busy_until=until))
    session.flush()


def renew_completion(session: Session, claim: UUID, until: datetime) -> None:
    """It still runs."""
    mine = Completion.claim == claim
    session.execute(update(Completion).where(mine).values(busy_until=until))


def fail_completion(session: Session, claim: UUID, problem: dict[str, Any]) -> None:
    """It has failed."""
    mine = Completion.claim == claim
    session.execute(update(Completion).where(mine).values(problem=problem))


def end_completions(session: Session, claims: Collection[UUID]) -> None:
    """They have succeeded, or been given up."""
    session.execute(delete(Completion).where(Completion.claim.in_(list(claims))))
