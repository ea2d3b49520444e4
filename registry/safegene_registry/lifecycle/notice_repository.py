"""Every SQL statement about what is said of versions after they were published.

As in `repositories`, functions take the session of the current transaction and decide
nothing.
"""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.orm import Session

from safegene_registry.models import VectorDeprecation, Version, VersionDeprecation


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
