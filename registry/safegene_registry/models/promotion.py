"""What moving an alias demands, and who approves of what.

    namespaces ─< promotion_policies
    versions ─< approvals >─ accounts

`promotion_policies` is insert-only, held by triggers in the database: the one of the
highest number counts.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from safegene_registry.db import Base, UtcDateTime
from safegene_registry.models.columns import PART, StoredText


class PolicyRow(Base):
    """One policy that a namespace has or had. Insert-only."""

    __tablename__ = "promotion_policies"
    __table_args__ = (CheckConstraint("number > 0", name="number"),)

    namespace: Mapped[str] = mapped_column(
        PART, ForeignKey("namespaces.name"), primary_key=True
    )
    number: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="of the namespace's, from 1"
    )
    document: Mapped[str] = mapped_column(StoredText, comment="in canonical JSON")
    token_id: Mapped[UUID] = mapped_column(
        ForeignKey("tokens.id"), comment="who set it"
    )
    set_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Approval(Base):
    """That an account wants a version to be what an alias points at."""

    __tablename__ = "approvals"

    version_id: Mapped[UUID] = mapped_column(
        ForeignKey("versions.id"), primary_key=True
    )
    alias: Mapped[str] = mapped_column(PART, primary_key=True)
    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("accounts.id"), primary_key=True
    )
    token_id: Mapped[UUID] = mapped_column(
        ForeignKey("tokens.id"), comment="that it was given with"
    )
    approved_at: Mapped[datetime] = mapped_column(UtcDateTime)
