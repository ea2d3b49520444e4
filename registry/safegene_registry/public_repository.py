"""Statements for what everybody may read: each finds all that an answer needs.

A namespace that is not public is not there for them. They are built once, so that
running one costs little more than the database's own work.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, bindparam, select
from sqlalchemy.orm import Session

from safegene.artifact.reference import VectorName
from safegene_registry.access import Visibility
from safegene_registry.models import (
    Blob,
    File,
    Head,
    Namespace,
    Vector,
    Version,
    VersionState,
)


def of_public_vector(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Only what belongs to one vector of a public namespace."""
    return (
        query.join(Vector, Vector.id == Version.vector_id)
        .join(Namespace, Namespace.name == Vector.namespace)
        .where(
            Namespace.name == bindparam("namespace"),
            Namespace.visibility == Visibility.PUBLIC.value,
            Vector.name == bindparam("name"),
        )
    )


FILES = (
    select(
        Version.version,
        Version.digest,
        Version.size_bytes,
        VersionState.yanked_at,
        VersionState.yank_reason,
        File.path,
        File.digest.label("file_digest"),
        Blob.size_bytes.label("file_bytes"),
    )
    .select_from(Version)
    .join(File, File.version_id == Version.id)
    .join(Blob, Blob.digest == File.digest)
    .outerjoin(VersionState, VersionState.version_id == Version.id)
)
VERSION = Version.version == bindparam("version")
ONE_VERSION = of_public_vector(FILES).where(VERSION).order_by(File.path)
HEADS = of_public_vector(FILES.join(Head, Head.version_id == Version.id)).where(
    Head.is_yanked.is_(False)
)
NEWEST = HEADS.order_by(Version.version, File.path)
ONE_FILE = of_public_vector(FILES).where(VERSION, File.path == bindparam("path"))


def version_rows(
    session: Session, vector: VectorName, version: str
) -> Sequence[Row[Any]]:
    """A version, once for each of its files, by path."""
    return session.execute(ONE_VERSION, named(vector, version=version)).all()


def head_rows(session: Session, vector: VectorName) -> Sequence[Row[Any]]:
    """The newest version of each family, once for each of its files, by path."""
    return session.execute(NEWEST, named(vector)).all()


def file_row(
    session: Session, vector: VectorName, version: str, path: str
) -> Row[Any] | None:
    """One file of a version."""
    found = named(vector, version=version, path=path)
    return session.execute(ONE_FILE, found).one_or_none()


def named(vector: VectorName, **more: str) -> dict[str, str]:
    """What the statements are told."""
    return {"namespace": vector.namespace, "name": vector.name, **more}
