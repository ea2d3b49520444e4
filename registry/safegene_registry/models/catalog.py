"""What is published.

    namespaces ─< vectors ─< versions >─ architectures
                     │         ├─< files >─ blobs
                     │         ├── version_states
                     │         └── purges
                     └─< heads

`versions`, `files`, `architectures` and `purges` are insert-only, held by triggers in
the database. What changes about a version lives in `version_states`; what moves (which
version of a vector is the newest) lives in `heads`.
"""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    UniqueConstraint,
    Uuid,
    column,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from safegene_registry.db import Base, UtcDateTime
from safegene_registry.models.columns import (
    DIGEST,
    PART,
    StoredText,
    created_now,
    digest_check,
    key_text,
)


class ArchitectureRow(Base):
    """A base model's structure, once per fingerprint. Insert-only."""

    __tablename__ = "architectures"
    __table_args__ = (
        digest_check("fingerprint"),
        # Serves "the nearest families", which looks by these three.
        Index(None, "model_type", "hidden_size", "layers"),
    )

    fingerprint: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    model_type: Mapped[str] = mapped_column(key_text())
    hidden_size: Mapped[int]
    layers: Mapped[int]
    document: Mapped[str] = mapped_column(
        StoredText,
        deferred=True,
        deferred_raiseload=True,
        comment="the whole structure, as JSON; the fingerprint names it",
    )


class Vector(Base):
    """A published safety vector, by name."""

    __tablename__ = "vectors"
    __table_args__ = (UniqueConstraint("namespace", "name"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    namespace: Mapped[str] = mapped_column(PART, ForeignKey("namespaces.name"))
    name: Mapped[str] = mapped_column(PART)
    created_at: Mapped[datetime] = created_now()


class Version(Base):
    """One immutable published state of a vector. Insert-only."""

    __tablename__ = "versions"
    __table_args__ = (
        digest_check("digest"),
        CheckConstraint("size_bytes >= 0", name="size_bytes"),
        UniqueConstraint("vector_id", "version"),
        UniqueConstraint("digest"),
        Index(None, "vector_id", "fingerprint"),
        # Serves the list of a vector's versions, which is sorted by these.
        Index(None, "vector_id", "published_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    vector_id: Mapped[UUID] = mapped_column(ForeignKey("vectors.id"))
    version: Mapped[str] = mapped_column(key_text(), comment="canonical spelling")
    digest: Mapped[str] = mapped_column(DIGEST, comment="digest of the manifest")
    manifest: Mapped[bytes] = mapped_column(
        LargeBinary, deferred=True, deferred_raiseload=True, comment="its exact bytes"
    )
    description: Mapped[str] = mapped_column(StoredText)
    license: Mapped[str] = mapped_column(StoredText)
    base_model_id: Mapped[str] = mapped_column(key_text(), index=True)
    base_model_revision: Mapped[str] = mapped_column(StoredText)
    fingerprint: Mapped[str] = mapped_column(
        DIGEST, ForeignKey("architectures.fingerprint")
    )
    rank: Mapped[int]
    size_bytes: Mapped[int] = mapped_column(BigInteger, comment="sum of its files")
    token_id: Mapped[UUID] = mapped_column(
        ForeignKey("tokens.id"), comment="who published it"
    )
    published_at: Mapped[datetime] = mapped_column(UtcDateTime)

    vector: Mapped[Vector] = relationship(lazy="raise")
    architecture: Mapped[ArchitectureRow] = relationship(lazy="raise")
    state: Mapped["VersionState | None"] = relationship(lazy="raise")
    purge: Mapped["Purge | None"] = relationship(lazy="raise")


class VersionState(Base):
    """What may change about a published version. No row: nothing has changed yet."""

    __tablename__ = "version_states"
    __table_args__ = (
        CheckConstraint(
            "(yanked_at IS NULL) = (yank_reason IS NULL)", name="yank_reason"
        ),
    )

    version_id: Mapped[UUID] = mapped_column(
        ForeignKey("versions.id"), primary_key=True
    )
    yanked_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="hidden from resolution since; null: not yanked"
    )
    yank_reason: Mapped[str | None] = mapped_column(StoredText)


class Purge(Base):
    """That a version's bytes were removed for good, and why. Insert-only.

    Its rows and its number stay. Blobs that other versions name as well stay, too.
    """

    __tablename__ = "purges"

    version_id: Mapped[UUID] = mapped_column(
        ForeignKey("versions.id"), primary_key=True
    )
    reason: Mapped[str] = mapped_column(StoredText)
    token_id: Mapped[UUID] = mapped_column(
        ForeignKey("tokens.id"), comment="who did it"
    )
    purged_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Blob(Base):
    """Bytes in the blob store that a published version names."""

    __tablename__ = "blobs"
    __table_args__ = (
        digest_check("digest"),
        CheckConstraint("size_bytes >= 0", name="size_bytes"),
    )

    digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class File(Base):
    """One file of a version. Insert-only."""

    __tablename__ = "files"

    version_id: Mapped[UUID] = mapped_column(
        ForeignKey("versions.id"), primary_key=True
    )
    path: Mapped[str] = mapped_column(key_text(255), primary_key=True)
    digest: Mapped[str] = mapped_column(DIGEST, ForeignKey("blobs.digest"), index=True)
    blob: Mapped[Blob] = relationship(lazy="raise")


EVALUATED: dict[str, Any] = {
    f"{dialect}_where": column("j_low").is_not(None)
    for dialect in ("postgresql", "sqlite")
}
"""Has an index hold only heads with an evaluation that counts."""


class Head(Base):
    """The newest version of a vector within one family, and how many there are.

    A yanked version is the newest only where all of them are yanked.

    With it, "what fits this fingerprint" and "what is the newest" are index look-ups
    that do not grow with the number of versions. What searches ask for is here once
    more, beside the vector's name, so that one index finds and orders what matches.
    Which evaluation counts best follows from `attestations` and `trusted_evaluators`,
    and is settled in the transaction that changes one of them or moves the head.
    """

    __tablename__ = "heads"
    __table_args__ = (
        CheckConstraint("version_count > 0", name="version_count"),
        Index(None, "fingerprint", "published_at", "vector_id"),
        Index(None, "namespace", "name"),
        Index(None, "fingerprint", "namespace", "name"),
        Index(None, "base_model_id", "namespace", "name"),
        Index(None, "model_type", "namespace", "name"),
        Index(None, "layers", "namespace", "name"),
        Index(None, "license", "namespace", "name"),
        Index(None, "rank", "namespace", "name"),
        # Heads that somebody trusted has evaluated, by name and from the best down.
        Index("ix_heads_evaluated", "namespace", "name", **EVALUATED),
        Index("ix_heads_ranked", "j_low", "namespace", "name", **EVALUATED),
        Index(
            "ix_heads_fingerprint_ranked",
            *("fingerprint", "j_low", "namespace", "name"),
            **EVALUATED,
        ),
    )

    vector_id: Mapped[UUID] = mapped_column(ForeignKey("vectors.id"), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(
        DIGEST, ForeignKey("architectures.fingerprint"), primary_key=True
    )
    version_id: Mapped[UUID] = mapped_column(ForeignKey("versions.id"))
    version_count: Mapped[int]
    published_at: Mapped[datetime] = mapped_column(
        UtcDateTime, comment="when the newest was published"
    )
    is_yanked: Mapped[bool] = mapped_column(
        server_default=false(), comment="all versions are: only for who names one"
    )
    namespace: Mapped[str] = mapped_column(PART, comment="the vector's")
    name: Mapped[str] = mapped_column(PART, comment="the vector's")
    model_type: Mapped[str] = mapped_column(key_text(), comment="the family's")
    layers: Mapped[int] = mapped_column(comment="the family's")
    base_model_id: Mapped[str] = mapped_column(key_text(), comment="the newest's")
    license: Mapped[str] = mapped_column(key_text(), comment="the newest's")
    rank: Mapped[int] = mapped_column(comment="the newest's")
    evaluation_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("attestations.id"),
        comment="of the newest, by somebody trusted, with the highest j_low",
    )
    j_low: Mapped[float | None] = mapped_column(
        Double, comment="lower end of the J of that; null: none counts"
    )
    version: Mapped[Version] = relationship(lazy="raise")
