"""What has happened.

    namespaces ─< events
         └─── event_ends

`events` is insert-only, held by triggers in the database. `event_ends` says where the
chain of a namespace ends, and is what those lock who add to it.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from safegene_registry.db import Base, UtcDateTime
from safegene_registry.models.columns import (
    DIGEST,
    PART,
    StoredText,
    digest_check,
    key_text,
)


class EventRow(Base):
    """One event at its place in the chain of its namespace. Insert-only."""

    __tablename__ = "events"
    __table_args__ = (
        digest_check("digest"),
        CheckConstraint("position > 0", name="position"),
        CheckConstraint("(previous IS NULL) = (position = 1)", name="previous"),
    )

    namespace: Mapped[str] = mapped_column(
        PART, ForeignKey("namespaces.name"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(key_text(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(
        StoredText, comment="account, or how it was done without one"
    )
    token_id: Mapped[UUID | None] = mapped_column(Uuid)
    vector: Mapped[str | None] = mapped_column(PART)
    version: Mapped[str | None] = mapped_column(key_text())
    details: Mapped[str] = mapped_column(StoredText, comment="canonical JSON")
    previous: Mapped[str | None] = mapped_column(
        DIGEST, comment="digest of the event before; null: this is the first"
    )
    digest: Mapped[str] = mapped_column(DIGEST, comment="of the event's canonical JSON")


class EventEnd(Base):
    """Where the chain of a namespace ends; its row is the lock of the chain."""

    __tablename__ = "event_ends"
    __table_args__ = (
        CheckConstraint("position >= 0", name="position"),
        CheckConstraint("(digest IS NULL) = (position = 0)", name="digest"),
    )

    namespace: Mapped[str] = mapped_column(
        PART, ForeignKey("namespaces.name"), primary_key=True
    )
    position: Mapped[int] = mapped_column(comment="of the last event")
    digest: Mapped[str | None] = mapped_column(DIGEST, comment="of the last event")
