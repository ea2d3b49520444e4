"""Every SQL statement that publishes, and those about uploads on their way.

As in `repositories`, functions take the session of the current transaction and decide
nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from safegene.artifact.manifest import Manifest
from safegene_registry import repositories
from safegene_registry.lock_repository import insert_missing
from safegene_registry.models import (
    ArchitectureRow,
    Blob,
    File,
    Head,
    Member,
    Namespace,
    Purge,
    Upload,
    Vector,
    Version,
    VersionState,
)

MOMENT = timedelta(microseconds=1)
"""The least that the databases tell apart."""


class Room(Enum):
    """What has become of a namespace that is needed."""

    FOUND = "found"
    MADE = "made"
    TAKEN = "taken"
    """Somebody else has just made it."""


# Versions


def add_version(
    session: Session,
    manifest: Manifest,
    *,
    manifest_bytes: bytes,
    token_id: UUID,
    published_at: datetime,
) -> Version:
    """Insert a version with its files, and whatever it is the first to need.

    There is its namespace, and the caller holds the locks of its vector and its blobs.
    Heads are left to the caller, too, who knows how versions are ordered.
    """
    vector = repositories.find_vector(session, manifest.vector)
    if vector is not None:
        published_at = after_all(session, vector.id, published_at)
    else:
        # Nobody else does: see `lock_vector`.
        vector = Vector(namespace=manifest.namespace, name=manifest.name)
        session.add(vector)
        session.flush()
    architecture = manifest.architecture
    fingerprint = str(architecture.fingerprint)
    insert_missing(
        session,
        ArchitectureRow.fingerprint,
        {
            fingerprint: {
                "model_type": architecture.model_type,
                "hidden_size": architecture.hidden_size,
                "layers": architecture.layers,
                "document": architecture.model_dump_json(),
            }
        },
    )
    insert_missing(
        session,
        Blob.digest,
        {entry.digest: {"size_bytes": entry.size} for entry in manifest.files},
    )
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
        state=None,
        purge=None,
    )
    session.add(version)
    session.flush()
    session.add_all(
        File(version_id=version.id, path=entry.path, digest=entry.digest)
        for entry in manifest.files
    )
    session.flush()
    return version


def after_all(session: Session, vector_id: UUID, now: datetime) -> datetime:
    """The time, or a moment after the vector's last version if that is later.

    Versions are listed in the order in which they were published. Clocks of replicas
    differ, and are set back now and then.
    """
    query = select(func.max(Version.published_at)).where(Version.vector_id == vector_id)
    last = session.scalar(query)
    return now if last is None or last < now else last + MOMENT


def ensure_namespace(
    session: Session, name: str, account_id: UUID, quota_bytes: int | None
) -> Room:
    """Make the namespace if there is none; whoever does owns it."""
    if session.get(Namespace, name) is not None:
        return Room.FOUND
    facts = {"quota_bytes": quota_bytes}
    if not insert_missing(session, Namespace.name, {name: facts}):
        return Room.TAKEN
    session.add(Member(namespace=name, account_id=account_id, role="owner"))
    session.flush()
    return Room.MADE


def add_head(session: Session, version: Version) -> None:
    """Make a version the first and newest of its vector within its family."""
    vector = session.get_one(Vector, version.vector_id)
    family = session.get_one(ArchitectureRow, version.fingerprint)
    head = Head(
        vector_id=version.vector_id,
        fingerprint=version.fingerprint,
        version_count=1,
        namespace=vector.namespace,
        name=vector.name,
        model_type=family.model_type,
        layers=family.layers,
    )
    session.add(head)
    point_head(session, head, version, is_yanked=False)


def advance_head(
    session: Session, head: Head, version: Version, *, newest: bool
) -> None:
    """Count one more version, and move the head to it if it is the newest."""
    head.version_count += 1
    if newest:
        point_head(session, head, version, is_yanked=False)
    session.flush()


def point_head(
    session: Session, head: Head, version: Version, *, is_yanked: bool
) -> None:
    """Make a version the newest of its vector within its family.

    Nothing that was said of it counts until that is settled; of a new one nothing was.
    """
    head.version_id = version.id
    head.evaluation_id = head.j_low = None
    head.published_at = version.published_at
    head.is_yanked = is_yanked
    head.base_model_id = version.base_model_id
    head.license = version.license
    head.rank = version.rank
    session.flush()


def set_yank(
    session: Session, version: Version, at: datetime | None, reason: str | None
) -> None:
    """Say since when and why a version is yanked; None: it is not.

    The version was read with its state, and the caller holds its vector's lock.
    """
    if version.state is None:
        version.state = VersionState(version_id=version.id)
    version.state.yanked_at = at
    version.state.yank_reason = reason
    session.flush()


def is_kept() -> ColumnElement[bool]:
    """Whether a blob is named by more than purged versions, for any statement."""
    named = select(File.digest).where(File.digest == Blob.digest)
    purged = select(Purge.version_id).where(Purge.version_id == File.version_id)
    return or_(~named.exists(), named.where(~purged.exists()).exists())


def add_purge(session: Session, purge: Purge) -> None:
    """Keep that a version was purged."""
    session.add(purge)
    session.flush()


# Uploads


def add_upload(session: Session, upload: Upload) -> None:
    """Keep a new upload."""
    session.add(upload)
    session.flush()


def find_upload(
    session: Session, upload_id: UUID, *, lock: bool = False
) -> Upload | None:
    """The upload of this id; `lock` keeps it as it is until the transaction ends."""
    query = select(Upload).where(Upload.id == upload_id)
    return session.scalar(query.with_for_update() if lock else query)


def set_upload_state(session: Session, upload_id: UUID, state: str) -> None:
    """Move an upload on."""
    session.execute(update(Upload).where(Upload.id == upload_id).values(state=state))


def delete_upload(session: Session, upload_id: UUID) -> None:
    """Forget an upload."""
    session.execute(delete(Upload).where(Upload.id == upload_id))


def expired_uploads(
    session: Session, now: datetime, limit: int, *, lock: bool = False
) -> Sequence[UUID]:
    """Some uploads whose time is over, the longest over first.

    Args:
        session: of the transaction.
        now: the time.
        limit: at most so many.
        lock: only those that nobody else completes or clears away, and keep it so.
    """
    query = select(Upload.id).where(Upload.expires_at <= now)
    query = query.order_by(Upload.expires_at).limit(limit)
    if lock:
        query = query.with_for_update(skip_locked=True)
    return session.scalars(query).all()


def upload_ids(session: Session) -> Sequence[UUID]:
    """Every upload there is."""
    return session.scalars(select(Upload.id)).all()


def known_blobs(session: Session, digests: Iterable[str]) -> set[str]:
    """Which of these blobs belong to a published version that was not purged.

    Those too which no version names yet: they are about to be restored.
    """
    query = select(Blob.digest).where(Blob.digest.in_(list(digests)), is_kept())
    return set(session.scalars(query))
