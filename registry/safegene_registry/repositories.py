"""Every SQL statement of the registry.

Functions take the session of the current transaction and return rows or plain values;
none begins, commits or decides anything. Joins are written out, since every
relationship refuses to load by itself.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, bindparam, select, tuple_
from sqlalchemy.orm import Session, contains_eager, undefer

from safegene.artifact.manifest import BaseModelRef
from safegene.artifact.reference import VectorName
from safegene_registry.models import (
    File,
    Head,
    Purge,
    Vector,
    Version,
    VersionDeprecation,
    VersionState,
)

RecentVersion = Row[
    str,
    str,
    datetime,
    UUID,
    datetime | None,
    str | None,
    VersionDeprecation | None,
    Purge | None,
]
"""Number, digest, when and under what key it was published, its yank, deprecation and
purge."""


# Vectors and versions


def find_vector(session: Session, vector: VectorName) -> Vector | None:
    """The vector of this name."""
    query = select(Vector).where(
        Vector.namespace == vector.namespace, Vector.name == vector.name
    )
    return session.scalar(query)


def with_details(query: Select[Any]) -> Select[Any]:
    """Load a head's version, vector, architecture and state along with it."""
    version = contains_eager(Head.version)
    return (
        query.join(Head.version)
        .join(Version.vector)
        .join(Version.architecture)
        .outerjoin(Version.state)
        .options(
            version.contains_eager(Version.vector),
            version.contains_eager(Version.architecture),
            version.contains_eager(Version.state),
        )
    )


def heads_of(session: Session, vector_ids: Iterable[UUID]) -> Sequence[Head]:
    """The heads of these vectors, one per family each."""
    return list(session.scalars(HEADS_OF, {"vector_ids": list(vector_ids)}))


HEADS_OF = with_details(select(Head)).where(
    Head.vector_id.in_(bindparam("vector_ids", expanding=True))
)


def find_head(session: Session, vector_id: UUID, fingerprint: str) -> Head | None:
    """The newest version of a vector within one family."""
    return session.scalar(
        select(Head)
        .join(Head.version)
        .options(contains_eager(Head.version))
        .where(Head.vector_id == vector_id, Head.fingerprint == fingerprint)
    )


def list_versions(
    session: Session,
    vector_ids: Iterable[UUID],
    *,
    fingerprint: str | None = None,
    yanked: bool = False,
) -> Mapping[UUID, Sequence[str]]:
    """Every version of these vectors, in no order: those not yanked, or those that are.

    Args:
        session: of the transaction.
        vector_ids: of the vectors.
        fingerprint: only those of one family; None: of any.
        yanked: which of the two.
    """
    is_yanked = VersionState.yanked_at.is_not(None)
    query = (
        select(Version.vector_id, Version.version)
        .outerjoin(Version.state)
        .where(
            Version.vector_id.in_(list(vector_ids)),
            is_yanked if yanked else ~is_yanked,
        )
    )
    if fingerprint is not None:
        query = query.where(Version.fingerprint == fingerprint)
    found: dict[UUID, list[str]] = defaultdict(list)
    for row in session.execute(query):
        found[row.vector_id].append(row.version)
    return found


def recent_versions(
    session: Session,
    vector_id: UUID,
    *,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[RecentVersion]:
    """Versions of a vector, yanked or not, most recently published first."""
    query = (
        select(
            Version.version,
            Version.digest,
            Version.published_at,
            Version.id,
            VersionState.yanked_at,
            VersionState.yank_reason,
            VersionDeprecation,
            Purge,
        )
        .outerjoin(Version.state)
        .outerjoin(Version.purge)
        .outerjoin(VersionDeprecation, VersionDeprecation.version_id == Version.id)
        .where(Version.vector_id == vector_id)
    )
    if after is not None:
        query = query.where(tuple_(Version.published_at, Version.id) < after)
    query = query.order_by(Version.published_at.desc(), Version.id.desc())
    return session.execute(query.limit(limit)).all()


def find_version(
    session: Session,
    vector: VectorName,
    *,
    version: str | None = None,
    digest: str | None = None,
    with_manifest: bool = False,
) -> Version | None:
    """The version of this vector with this canonical version or this digest."""
    query = (
        select(Version)
        .join(Version.vector)
        .outerjoin(Version.state)
        .outerjoin(Version.purge)
        .options(
            contains_eager(Version.vector),
            contains_eager(Version.state),
            contains_eager(Version.purge),
        )
        .where(Vector.namespace == vector.namespace, Vector.name == vector.name)
    )
    if version is not None:
        query = query.where(Version.version == version)
    if digest is not None:
        query = query.where(Version.digest == digest)
    if with_manifest:
        query = query.options(undefer(Version.manifest))
    return session.scalar(query)


def versions_of_vectors(
    session: Session, wanted: Mapping[UUID, str]
) -> Mapping[UUID, Version]:
    """One version each of vectors known by their keys."""
    query = (
        select(Version)
        .join(Version.vector)
        .outerjoin(Version.state)
        .outerjoin(Version.purge)
        .options(
            contains_eager(Version.vector),
            contains_eager(Version.state),
            contains_eager(Version.purge),
        )
        .where(tuple_(Version.vector_id, Version.version).in_(list(wanted.items())))
    )
    return {version.vector_id: version for version in session.scalars(query)}


def base_model(version: Version) -> BaseModelRef:
    """Base model and revision of a version."""
    return BaseModelRef(id=version.base_model_id, revision=version.base_model_revision)


def list_files(session: Session, version_id: UUID) -> Sequence[File]:
    """The files of a version with their blobs, by path."""
    query = (
        select(File)
        .join(File.blob)
        .options(contains_eager(File.blob))
        .where(File.version_id == version_id)
        .order_by(File.path)
    )
    return session.scalars(query).all()


def find_file(session: Session, version_id: UUID, path: str) -> File | None:
    """One file of a version with its blob."""
    return session.scalar(
        select(File)
        .join(File.blob)
        .options(contains_eager(File.blob))
        .where(File.version_id == version_id, File.path == path)
    )
