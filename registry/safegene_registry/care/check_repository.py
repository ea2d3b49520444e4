"""Every SQL statement that only checking the whole registry needs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ForeignKeyConstraint, and_, delete, select, update
from sqlalchemy.orm import Session

from safegene_registry.access_repository import was_not_purged
from safegene_registry.attestations.standing_repository import best
from safegene_registry.db import Base
from safegene_registry.models import (
    Account,
    Alias,
    Attestation,
    Blob,
    File,
    Head,
    Vector,
    Version,
)

ROWS = 200
"""Versions that are fetched at once: manifests have tens of kilobytes."""


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version with all that it says of its files."""

    name: str
    """`namespace/name@version`."""
    digest: str
    manifest: bytes
    files: frozenset[tuple[str, str]]
    """Path and digest of each file, by the rows."""


def all_versions(session: Session) -> Iterator[VersionRow]:
    """Every version there is, without those that were purged."""
    query = (
        select(
            Version.id,
            Vector.namespace,
            Vector.name,
            Version.version,
            Version.digest,
            Version.manifest,
        )
        .join(Vector, Vector.id == Version.vector_id)
        .where(was_not_purged())
        .order_by(Vector.namespace, Vector.name, Version.published_at, Version.id)
        .execution_options(yield_per=ROWS)
    )
    for rows in session.execute(query).partitions():
        ids = [row.id for row in rows]
        files: dict[object, set[tuple[str, str]]] = {each: set() for each in ids}
        found = select(File.version_id, File.path, File.digest)
        for file in session.execute(found.where(File.version_id.in_(ids))):
            files[file.version_id].add((file.path, file.digest))
        for row in rows:
            name = f"{row.namespace}/{row.name}@{row.version}"
            of_row = frozenset(files[row.id])
            yield VersionRow(name, row.digest, row.manifest, of_row)


@dataclass(frozen=True, slots=True)
class AttestationRow:
    """An attestation with its envelope, and all that its row says of that."""

    name: str
    """Version, digest of the envelope, and who posted it."""
    version: str
    """`namespace/name@version`."""
    version_digest: str
    digest: str
    envelope: bytes
    key_id: str | None
    columns: Mapping[str, object]
    """Every column, by name."""


def all_attestations(session: Session) -> Iterator[AttestationRow]:
    """Every attestation there is, also of versions that were purged."""
    table = Attestation.__table__
    query = (
        select(
            *table.columns,
            Vector.namespace,
            Vector.name.label("vector"),
            Version.version,
            Version.digest.label("version_digest"),
            Account.name.label("account"),
        )
        .join_from(table, Version, Version.id == table.c.version_id)
        .join(Vector, Vector.id == Version.vector_id)
        .join(Account, Account.id == table.c.account_id)
        .order_by(table.c.version_id, table.c.posted_at, table.c.id)
        .execution_options(yield_per=ROWS)
    )
    for row in session.execute(query).mappings():
        version = f"{row['namespace']}/{row['vector']}@{row['version']}"
        yield AttestationRow(
            name=f"{version} {row['digest']} by {row['account']}",
            version=version,
            version_digest=row["version_digest"],
            digest=row["digest"],
            envelope=row["envelope"],
            key_id=row["key_id"],
            columns={column.name: row[column.name] for column in table.columns},
        )


@dataclass(frozen=True, slots=True)
class Dangling:
    """A row that refers to one that is not there."""

    table: str
    key: str
    """Its primary key, for people."""
    target: str
    """The table that it refers to."""
    value: str
    """What it refers to, for people."""


def dangling_rows(session: Session) -> Iterator[Dangling]:
    """Every row that refers to nothing.

    The databases see to it that there is none: unless somebody has turned that off, or
    has copied tables by hand, or a disk has lost pages.
    """
    for table in Base.metadata.sorted_tables:
        for key in table.foreign_key_constraints:
            yield from dangling_by(session, key)


def dangling_by(session: Session, key: ForeignKeyConstraint) -> Iterator[Dangling]:
    """Rows of one table that refer to nothing by one of its foreign keys."""
    table, target = key.table, key.referred_table.alias()
    pairs = [
        (element.parent, target.columns[element.column.name])
        for element in key.elements
    ]
    # Both databases, and SQL, take a key with a null in it for none.
    query = (
        select(*table.primary_key.columns, *(own for own, _ in pairs))
        .outerjoin_from(table, target, and_(*(own == other for own, other in pairs)))
        .where(pairs[0][1].is_(None), *(own.is_not(None) for own, _ in pairs))
        .limit(ROWS)
    )
    count = len(table.primary_key.columns)
    for row in session.execute(query):
        own, value = (
            " ".join(str(each) for each in part) for part in (row[:count], row[count:])
        )
        yield Dangling(table.name, own, key.referred_table.name, value)


def astray_aliases(session: Session) -> Iterator[Dangling]:
    """Aliases that point at a version of another vector."""
    query = (
        select(Alias.vector_id, Alias.name, Alias.version_id)
        .join(Version, Version.id == Alias.version_id)
        .where(Version.vector_id != Alias.vector_id)
    )
    for row in session.execute(query):
        key = f"{row.vector_id} {row.name}"
        yield Dangling(Alias.__tablename__, key, "its vector", str(row.version_id))


@dataclass(frozen=True, slots=True)
class StandingRow:
    """A head with another evaluation beside it than the best that counts."""

    namespace: str
    vector: str
    fingerprint: str
    kept: float | None
    """Lower end of J that it is ranked by."""
    right: float | None
    """That of the best."""


def wrong_standings(session: Session) -> Iterator[StandingRow]:
    """Heads that searches rank by what is not their best evaluation that counts."""
    evaluation_id = best(Attestation.id).scalar_subquery()
    j_low = best(Attestation.j_low).scalar_subquery()
    query = (
        select(Head.namespace, Head.name, Head.fingerprint, Head.j_low, j_low)
        .where(
            Head.evaluation_id.is_distinct_from(evaluation_id)
            | Head.j_low.is_distinct_from(j_low)
        )
        .order_by(Head.namespace, Head.name, Head.fingerprint)
    )
    for row in session.execute(query):
        yield StandingRow(*row)


def all_blobs(session: Session) -> dict[str, int]:
    """The sizes of all blobs, by the rows."""
    query = select(Blob.digest, Blob.size_bytes).execution_options(yield_per=1000)
    return {row.digest: row.size_bytes for row in session.execute(query)}


def unnamed_rows(session: Session, digests: Iterable[str]) -> Sequence[str]:
    """Which of these blobs have a row that no file names."""
    query = select(Blob.digest).where(Blob.digest.in_(list(digests)))
    named = select(File.digest).where(File.digest == Blob.digest).exists()
    return session.scalars(query.where(~named)).all()


def all_unnamed_rows(session: Session) -> Sequence[str]:
    """Blobs that have a row which no file names."""
    named = select(File.digest).where(File.digest == Blob.digest).exists()
    query = select(Blob.digest).where(~named).order_by(Blob.digest)
    return session.scalars(query).all()


def drop_rows(session: Session, digests: Iterable[str]) -> None:
    """Forget these blobs; the caller holds their locks and knows that none is named."""
    session.execute(delete(Blob).where(Blob.digest.in_(list(digests))))


def set_size(session: Session, digest: str, size: int) -> None:
    """Write down the size of a blob."""
    session.execute(update(Blob).where(Blob.digest == digest).values(size_bytes=size))
