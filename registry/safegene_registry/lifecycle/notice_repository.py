"""Every SQL statement about what is said of versions after they were published.

As in `repositories`, functions take the session of the current transaction and decide
nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import Session

from safegene_registry.models import (
    Advisory,
    VectorDeprecation,
    Version,
    VersionDeprecation,
)


class Deprecations(NamedTuple):
    """What is said of a version, and of its vector."""

    of_version: VersionDeprecation | None
    of_vector: VectorDeprecation | None


def has_notices() -> ColumnElement[bool]:
    """Whether anything is said of a version, or of its vector, for any statement."""
    return or_(
        select(VersionDeprecation.version_id)
        .where(VersionDeprecation.version_id == Version.id)
        .exists(),
        select(VectorDeprecation.vector_id)
        .where(VectorDeprecation.vector_id == Version.vector_id)
        .exists(),
        select(Advisory.number)
        .where(Advisory.vector_id == Version.vector_id, Advisory.withdrawn_at.is_(None))
        .exists(),
    )


def find_deprecations(session: Session, version_id: UUID) -> Deprecations:
    """What is said of a version, and of its vector."""
    query = (
        select(VersionDeprecation, VectorDeprecation)
        .select_from(Version)
        .outerjoin(VersionDeprecation, VersionDeprecation.version_id == Version.id)
        .outerjoin(VectorDeprecation, VectorDeprecation.vector_id == Version.vector_id)
        .where(Version.id == version_id)
    )
    return Deprecations(*session.execute(query).one())


def find_vector_deprecation(
    session: Session, vector_id: UUID
) -> VectorDeprecation | None:
    """What is said of a vector."""
    return session.get(VectorDeprecation, vector_id)


def find_version_deprecation(
    session: Session, version_id: UUID
) -> VersionDeprecation | None:
    """What is said of a version alone."""
    return session.get(VersionDeprecation, version_id)


def put_deprecation(
    session: Session, deprecation: VersionDeprecation | VectorDeprecation
) -> None:
    """Say that something should not be used any more, in the place of what was said."""
    session.merge(deprecation)
    session.flush()


def delete_version_deprecation(session: Session, version_id: UUID) -> None:
    """Say nothing of a version any more."""
    session.execute(
        delete(VersionDeprecation).where(VersionDeprecation.version_id == version_id)
    )


def delete_vector_deprecation(session: Session, vector_id: UUID) -> None:
    """Say nothing of a vector any more."""
    session.execute(
        delete(VectorDeprecation).where(VectorDeprecation.vector_id == vector_id)
    )


# Advisories


def standing_advisories(session: Session, vector_id: UUID) -> Sequence[Advisory]:
    """Those of a vector that were not withdrawn, the last one first."""
    query = select(Advisory).where(
        Advisory.vector_id == vector_id, Advisory.withdrawn_at.is_(None)
    )
    return session.scalars(query.order_by(Advisory.number.desc())).all()


def list_advisories(
    session: Session, vector_id: UUID, *, before: int | None, limit: int
) -> Sequence[Advisory]:
    """Advisories of a vector, withdrawn or not, the last one first."""
    query = select(Advisory).where(Advisory.vector_id == vector_id)
    if before is not None:
        query = query.where(Advisory.number < before)
    return session.scalars(query.order_by(Advisory.number.desc()).limit(limit)).all()


def find_advisory(session: Session, vector_id: UUID, number: int) -> Advisory | None:
    """One advisory of a vector."""
    return session.get(Advisory, (vector_id, number))


def add_advisory(session: Session, advisory: Advisory) -> None:
    """Keep a new advisory under the next number; the caller has locked the vector."""
    last = session.scalar(
        select(func.max(Advisory.number)).where(
            Advisory.vector_id == advisory.vector_id
        )
    )
    advisory.number = (last or 0) + 1
    session.add(advisory)
    session.flush()


def withdraw(session: Session, advisory: Advisory, reason: str, at: datetime) -> None:
    """Say that an advisory was wrong."""
    advisory.withdrawn_at, advisory.withdrawal_reason = at, reason
    session.flush()
