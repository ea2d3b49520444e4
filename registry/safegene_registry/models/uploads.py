"""Versions on their way in, blobs on their way out. Nothing here is visible to readers.

uploads ─< upload_blobs
   ├── completions
   └── reservations
removals
"""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.orm import Mapped, mapped_column

from safegene_registry.db import Base, UtcDateTime
from safegene_registry.models.columns import (
    DIGEST,
    DOCUMENT,
    PART,
    digest_check,
    key_text,
    one_of,
)


class Upload(Base):
    """A version on its way in, announced by its manifest."""

    __tablename__ = "uploads"
    __table_args__ = (digest_check("digest"), one_of("state", "open", "published"))

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    token_id: Mapped[UUID] = mapped_column(
        ForeignKey("tokens.id"), comment="who opened it"
    )
    namespace: Mapped[str] = mapped_column(
        PART,
        index=True,
        comment="the manifest's; need not exist before the first version does",
    )
    digest: Mapped[str] = mapped_column(DIGEST, comment="digest of the manifest")
    manifest: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class UploadBlob(Base):
    """How a blob of an upload is being sent straight to an S3 server.

    Made when the sender is given addresses, so that an interrupted transfer can go on
    where it stopped and that a multipart upload nobody ends can be aborted. A store
    that receives blobs itself needs no such row. Goes with its upload.
    """

    __tablename__ = "upload_blobs"
    __table_args__ = (
        digest_check("digest"),
        CheckConstraint("size_bytes >= 0", name="size_bytes"),
        one_of("kind", "put", "multipart"),
        one_of("state", "open", "received"),
        CheckConstraint(
            "(kind = 'multipart') = (multipart_id IS NOT NULL)"
            " AND (kind = 'multipart') = (part_bytes IS NOT NULL)",
            name="multipart",
        ),
        CheckConstraint("part_bytes > 0", name="part_bytes"),
    )

    upload_id: Mapped[UUID] = mapped_column(
        ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True
    )
    digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(
        String(16), comment="put: one request; multipart: many"
    )
    multipart_id: Mapped[str | None] = mapped_column(
        key_text(), comment="what the S3 server calls it"
    )
    part_bytes: Mapped[int | None] = mapped_column(
        BigInteger, comment="size of every part but the last"
    )
    state: Mapped[str] = mapped_column(
        String(16), comment="received: whole under its staging key"
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Reservation(Base):
    """Room that an open upload has reserved in its namespace.

    So that uploads side by side cannot each find the room that only one of them gets.
    Goes with its upload, and when the version is published.
    """

    __tablename__ = "reservations"
    __table_args__ = (
        CheckConstraint("size_bytes >= 0", name="size_bytes"),
        Index("ix_reservations_namespace_version", "namespace", "version"),
    )

    upload_id: Mapped[UUID] = mapped_column(
        ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True
    )
    namespace: Mapped[str] = mapped_column(
        PART, comment="the upload's; need not exist before the first version does"
    )
    version: Mapped[str] = mapped_column(
        key_text(),
        comment="vector and version; however many uploads, it is published once",
    )
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class Completion(Base):
    """A large version is being verified, or the last try to do so has failed.

    A row without a problem whose time is over is of a process that died: whoever asks
    next begins anew.
    """

    __tablename__ = "completions"
    __table_args__ = (UniqueConstraint("claim"),)

    upload_id: Mapped[UUID] = mapped_column(
        ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True
    )
    claim: Mapped[UUID] = mapped_column(
        Uuid, comment="the run that may say how it ended"
    )
    busy_until: Mapped[datetime] = mapped_column(
        UtcDateTime,
        comment="it counts as dead from then on, unless it says otherwise before",
    )
    problem: Mapped[dict[str, Any] | None] = mapped_column(
        DOCUMENT, comment="why it failed; null while it runs"
    )


class Removal(Base):
    """A final blob that is being removed; until it is, no version may come to name it.

    Written, and committed, before the store is asked to remove the blob, and deleted
    after. Locks alone would not do: they end with the database's connection, while a
    request to the store may still be on its way.
    """

    __tablename__ = "removals"
    __table_args__ = (digest_check("digest"),)

    digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
