"""Statements for what everybody may read: each finds all that an answer needs.

A namespace that is not public is not there for them. They are built once, so that
running one costs little more than the database's own work.
"""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, select

from safegene.artifact.reference import VectorName
from safegene_registry.access import Visibility
from safegene_registry.db import Database
from safegene_registry.lifecycle.notice_repository import has_notices
from safegene_registry.lookups import Lookup
from safegene_registry.models import (
    Alias,
    Blob,
    File,
    Head,
    Namespace,
    Purge,
    Vector,
    Version,
    VersionState,
)


class FileRow(NamedTuple):
    """One file of a version, with what there is to say of the version."""

    version: str
    digest: str
    size_bytes: int
    yanked_at: datetime | None
    yank_reason: str | None
    has_notices: bool
    """Whether more is to be said of it, which takes more than this statement."""
    path: str
    file_digest: str
    file_bytes: int


def of_public_vector(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Only what belongs to one vector of a public namespace, and was not purged."""
    return (
        query.join(Vector, Vector.id == Version.vector_id)
        .join(Namespace, Namespace.name == Vector.namespace)
        .where(
            Namespace.name == bindparam("namespace"),
            Namespace.visibility == Visibility.PUBLIC.value,
            Vector.name == bindparam("name"),
            ~select(Purge.version_id).where(Purge.version_id == Version.id).exists(),
        )
    )


FILES = (
    select(
        Version.version,
        Version.digest,
        Version.size_bytes,
        VersionState.yanked_at,
        VersionState.yank_reason,
        has_notices().label("has_notices"),
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
HEADS = of_public_vector(FILES.join(Head, Head.version_id == Version.id)).where(
    Head.is_yanked.is_(False)
)
ALIASED = of_public_vector(FILES.join(Alias, Alias.version_id == Version.id)).where(
    Alias.name == bindparam("alias"), VersionState.yanked_at.is_(None)
)
ONE_FILE = of_public_vector(FILES).where(VERSION, File.path == bindparam("path"))

VERSION_ROWS = Lookup(
    of_public_vector(FILES).where(VERSION).order_by(File.path), FileRow._make
)
HEAD_ROWS = Lookup(HEADS.order_by(Version.version, File.path), FileRow._make)
ALIAS_ROWS = Lookup(ALIASED.order_by(File.path), FileRow._make)
FILE_ROWS = Lookup(ONE_FILE, FileRow._make)


def version_rows(database: Database, vector: VectorName, version: str) -> list[FileRow]:
    """A version, once for each of its files, by path."""
    return database.look_up(VERSION_ROWS, named(vector, version=version))


def head_rows(database: Database, vector: VectorName) -> list[FileRow]:
    """The newest version of each family, once for each of its files, by path."""
    return database.look_up(HEAD_ROWS, named(vector))


def alias_rows(database: Database, vector: VectorName, alias: str) -> list[FileRow]:
    """The version that an alias points at, once for each of its files, by path.

    Nothing if that version is yanked.
    """
    return database.look_up(ALIAS_ROWS, named(vector, alias=alias))


def file_row(
    database: Database, vector: VectorName, version: str, path: str
) -> FileRow | None:
    """One file of a version."""
    found = database.look_up(FILE_ROWS, named(vector, version=version, path=path))
    return found[0] if found else None


def named(vector: VectorName, **more: str) -> dict[str, str]:
    """What the statements are told."""
    return {"namespace": vector.namespace, "name": vector.name, **more}
