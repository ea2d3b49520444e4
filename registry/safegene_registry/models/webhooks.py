"""Where events are sent.

    namespaces ─< webhooks ─< dead_letters

The chain of the namespace is the outbox: a webhook remembers how far it has got.
"""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Uuid, false
from sqlalchemy.orm import Mapped, mapped_column

from safegene_registry.db import Base, UtcDateTime
from safegene_registry.models.columns import PART, StoredText, created_now


class Webhook(Base):
    """An address that the events of a namespace are sent to, in their order."""

    __tablename__ = "webhooks"
    __table_args__ = (
        CheckConstraint("position >= 0", name="position"),
        CheckConstraint("attempts >= 0", name="attempts"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    namespace: Mapped[str] = mapped_column(
        PART, ForeignKey("namespaces.name"), index=True
    )
    url: Mapped[str] = mapped_column(StoredText)
    secret: Mapped[str] = mapped_column(
        StoredText, comment="that deliveries are signed with, as it is"
    )
    created_at: Mapped[datetime] = created_now()
    position: Mapped[int] = mapped_column(comment="of the last event that is done with")
    attempts: Mapped[int] = mapped_column(
        server_default="0", comment="that have failed for the next event"
    )
    error: Mapped[str | None] = mapped_column(
        StoredText, comment="why the last attempt failed; null: it did not"
    )
    retry_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="nothing is sent before; null: at once"
    )
    leased_until: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="a replica is at work until then; null: none is"
    )


class DeadLetter(Base):
    """An event that a webhook's receiver has not taken, and is not sent any more."""

    __tablename__ = "dead_letters"

    webhook_id: Mapped[UUID] = mapped_column(
        ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    failed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    error: Mapped[str] = mapped_column(StoredText)
    is_due: Mapped[bool] = mapped_column(
        server_default=false(), comment="somebody wants it sent once more"
    )
