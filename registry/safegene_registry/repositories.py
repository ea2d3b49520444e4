"""Every SQL statement of the registry.

Functions take the session of the current transaction and return rows or plain values;
none begins, commits or decides anything. Joins are written out, since every
relationship refuses to load by itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, select, tuple_, update
from sqlalchemy.orm import Session, contains_eager, undefer

from safegene.artifact.manifest import BaseModelRef, Manifest
from safegene.artifact.reference import VectorName
from safegene_registry.models import (
    ArchitectureRow,
    Blob,
    File,
    Head,
    Member,
    Namespace,
    Upload,
    Vector,
    Version,
)


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """What a search asks for; None means anything."""

    text: str | None = None
    namespace: str | None = None
    fingerprint: str | None = None
    base_model: str | None = None


# Vectors and versions


def find_vector(
    session: Session, vector: VectorName, *, lock: bool = False
) -> Vector | None:
    """The vector of this name; `lock` keeps other publishers of it out."""
    query = select(Vector).where(
        Vector.namespace == vector.namespace, Vector.name == vector.name
    )
    return session.scalar(query.with_for_update() if lock else query)


def search_vectors(
    session: Session,
    wanted: SearchFilter,
    *,
    after: tuple[str, str] | None,
    limit: int,
) -> Sequence[Vector]:
    """Vectors whose newest version matches, by name, after the last of the page before.

    Text matches anywhere in namespace, name or description, whatever the case.
    """
    matching = (
        select(Head.vector_id)
        .join(Version, Version.id == Head.version_id)
        .where(Head.vector_id == Vector.id)
    )
    if wanted.fingerprint is not None:
        matching = matching.where(Head.fingerprint == wanted.fingerprint)
    if wanted.base_model is not None:
        matching = matching.where(Version.base_model_id == wanted.base_model)
    if wanted.text:
        matching = matching.where(
            Vector.namespace.icontains(wanted.text, autoescape=True)
            | Vector.name.icontains(wanted.text, autoescape=True)
            | Version.description.icontains(wanted.text, autoescape=True)
        )
    query = select(Vector).where(matching.exists())
    if wanted.namespace is not None:
        query = query.where(Vector.namespace == wanted.namespace)
    if after is not None:
        query = query.where(tuple_(Vector.namespace, Vector.name) > after)
    query = query.order_by(Vector.namespace, Vector.name).limit(limit)
    return session.scalars(query).all()


def with_details(query: Select[Any]) -> Select[Any]:
    """Load a head's version, vector and architecture along with it."""
    return (
        query.join(Head.version)
        .join(Version.vector)
        .join(Version.architecture)
        .options(
            contains_eager(Head.version).contains_eager(Version.vector),
            contains_eager(Head.version).contains_eager(Version.architecture),
        )
    )


def heads_of(session: Session, vector_ids: Iterable[UUID]) -> Sequence[Head]:
    """The heads of these vectors, one per family each."""
    query = with_details(select(Head)).where(Head.vector_id.in_(list(vector_ids)))
    return list(session.scalars(query))


def family_heads(
    session: Session,
    fingerprint: str,
    *,
    namespace: str | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Head]:
    """Heads of one family, most recently published first. One index range."""
    query = with_details(select(Head)).where(Head.fingerprint == fingerprint)
    if namespace is not None:
        query = query.where(Vector.namespace == namespace)
    if after is not None:
        query = query.where(tuple_(Head.published_at, Head.vector_id) < after)
    query = query.order_by(Head.published_at.desc(), Head.vector_id.desc())
    return list(session.scalars(query.limit(limit)))


def find_head(session: Session, vector_id: UUID, fingerprint: str) -> Head | None:
    """The newest version of a vector within one family."""
    return session.scalar(
        select(Head)
        .join(Head.version)
        .options(contains_eager(Head.version))
        .where(Head.vector_id == vector_id, Head.fingerprint == fingerprint)
    )


def list_versions(
    session: Session, vector_id: UUID, *, fingerprint: str | None = None
) -> Sequence[tuple[str, str]]:
    """Version and digest of everything published of a vector, in no order."""
    query = select(Version.version, Version.digest).where(
        Version.vector_id == vector_id
    )
    if fingerprint is not None:
        query = query.where(Version.fingerprint == fingerprint)
    return [(row.version, row.digest) for row in session.execute(query)]


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
        .options(contains_eager(Version.vector))
        .where(Vector.namespace == vector.namespace, Vector.name == vector.name)
    )
    if version is not None:
        query = query.where(Version.version == version)
    if digest is not None:
        query = query.where(Version.digest == digest)
    if with_manifest:
        query = query.options(undefer(Version.manifest))
    return session.scalar(query)


def version_of_vector(
    session: Session, vector_id: UUID, version: str
) -> Version | None:
    """A version of a vector known by its key."""
    return session.scalar(
        select(Version)
        .join(Version.vector)
        .options(contains_eager(Version.vector))
        .where(Version.vector_id == vector_id, Version.version == version)
    )


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


# Architectures


def find_architecture(session: Session, fingerprint: str) -> ArchitectureRow | None:
    """The architecture of this fingerprint, if anything was published for it."""
    return session.get(ArchitectureRow, fingerprint)


def nearest_architectures(
    session: Session,
    *,
    fingerprint: str,
    model_type: str,
    hidden_size: int,
    layers: int,
    namespace: str | None,
    limit: int,
) -> Sequence[ArchitectureRow]:
    """Other families that have vectors, those most like the given structure first.

    Walks the families, not the versions.
    """
    has_vector = select(Head.vector_id).where(
        Head.fingerprint == ArchitectureRow.fingerprint
    )
    if namespace is not None:
        has_vector = has_vector.join(Vector, Vector.id == Head.vector_id).where(
            Vector.namespace == namespace
        )
    query = (
        select(ArchitectureRow)
        .where(ArchitectureRow.fingerprint != fingerprint, has_vector.exists())
        .order_by(
            (ArchitectureRow.model_type != model_type),
            func.abs(ArchitectureRow.hidden_size - hidden_size),
            func.abs(ArchitectureRow.layers - layers),
            ArchitectureRow.fingerprint,
        )
        .limit(limit)
    )
    return session.scalars(query).all()


# Publishing


def add_version(
    session: Session,
    manifest: Manifest,
    *,
    manifest_bytes: bytes,
    token_id: UUID,
    account_id: UUID,
    published_at: datetime,
) -> Version:
    """Insert a version with its files, and whatever it is the first to need.

    Whoever publishes first into a namespace owns it.

    Heads are left to the caller, who knows how versions are ordered.
    """
    if session.get(Namespace, manifest.namespace) is None:
        session.add(Namespace(name=manifest.namespace))
        session.flush()
        session.add(
            Member(namespace=manifest.namespace, account_id=account_id, role="owner")
        )
    vector = find_vector(session, manifest.vector)
    if vector is None:
        vector = Vector(namespace=manifest.namespace, name=manifest.name)
        session.add(vector)
    architecture = manifest.architecture
    fingerprint = str(architecture.fingerprint)
    if session.get(ArchitectureRow, fingerprint) is None:
        session.add(
            ArchitectureRow(
                fingerprint=fingerprint,
                model_type=architecture.model_type,
                hidden_size=architecture.hidden_size,
                layers=architecture.layers,
                document=architecture.model_dump_json(),
            )
        )
    sizes = {entry.digest: entry.size for entry in manifest.files}
    for digest, size in sizes.items():
        if session.get(Blob, digest) is None:
            session.add(Blob(digest=digest, size_bytes=size))
    session.flush()
    version = Version(
        vector_id=vector.id,
        version=manifest.version,
        digest=str(manifest.digest),
        manifest=manifest_bytes,
        description=manifest.description,
        license=manifest.license,
        base_model_id=manifest.base_model.id,
        base_model_revision=manifest.base_model.revision,
        fingerprint=fingerprint,
        rank=manifest.rank,
        size_bytes=manifest.size_bytes,
        token_id=token_id,
        published_at=published_at,
    )
    session.add(version)
    session.flush()
    session.add_all(
        File(version_id=version.id, path=entry.path, digest=entry.digest)
        for entry in manifest.files
    )
    session.flush()
    return version


def add_head(session: Session, version: Version) -> None:
    """Make a version the first and newest of its vector within its family."""
    session.add(
        Head(
            vector_id=version.vector_id,
            fingerprint=version.fingerprint,
            version_id=version.id,
            version_count=1,
            published_at=version.published_at,
        )
    )
    session.flush()


def advance_head(
    session: Session, head: Head, version: Version, *, newest: bool
) -> None:
    """Count one more version, and move the head to it if it is the newest."""
    head.version_count += 1
    if newest:
        head.version_id = version.id
        head.published_at = version.published_at
    session.flush()


# Uploads


def add_upload(session: Session, upload: Upload) -> None:
    """Keep a new upload."""
    session.add(upload)
    session.flush()


def find_upload(session: Session, upload_id: UUID) -> Upload | None:
    """The upload of this id."""
    return session.get(Upload, upload_id)


def set_upload_state(session: Session, upload_id: UUID, state: str) -> None:
    """Move an upload on."""
    session.execute(update(Upload).where(Upload.id == upload_id).values(state=state))


def delete_upload(session: Session, upload_id: UUID) -> None:
    """Forget an upload."""
    session.execute(delete(Upload).where(Upload.id == upload_id))


def expired_uploads(session: Session, now: datetime, limit: int) -> Sequence[UUID]:
    """Some uploads whose time is over, the longest over first."""
    query = select(Upload.id).where(Upload.expires_at <= now)
    return session.scalars(query.order_by(Upload.expires_at).limit(limit)).all()


def upload_ids(session: Session) -> Sequence[UUID]:
    """Every upload there is."""
    return session.scalars(select(Upload.id)).all()


def known_blobs(session: Session, digests: Iterable[str]) -> set[str]:
    """Which of these blobs belong to a published version."""
    query = select(Blob.digest).where(Blob.digest.in_(list(digests)))
    return set(session.scalars(query))
