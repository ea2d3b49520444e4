"""What points at versions and moves, and what is said of them later.

    vectors ─< aliases >─ versions
         └──< alias_moves             what each alias pointed at, and who moved it
    namespaces ─< protected_aliases ─< alias_movers >─ members
    versions ── version_deprecations, vectors ── vector_deprecations
    vectors ─< advisories

`alias_moves` is insert-only, held by triggers in the database.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    String,
    Uuid,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from safegene_registry.db import Base, UtcDateTime
from safegene_registry.models.catalog import Version
from safegene_registry.models.columns import (
    PART,
    StoredText,
    created_now,
    key_text,
    one_of,
)


class Alias(Base):
    """A name of a version of one vector, which may be moved to another one."""

    __tablename__ = "aliases"

    vector_id: Mapped[UUID] = mapped_column(ForeignKey("vectors.id"), primary_key=True)
    name: Mapped[str] = mapped_column(PART, primary_key=True)
    version_id: Mapped[UUID] = mapped_column(ForeignKey("versions.id"), index=True)
    moved_at: Mapped[datetime] = mapped_column(UtcDateTime)
    version: Mapped[Version] = relationship(lazy="raise")


class AliasMove(Base):
    """One move of an alias, or its making or removal. Insert-only."""

    __tablename__ = "alias_moves"
    __table_args__ = (
        CheckConstraint(
            "from_version_id IS NOT NULL OR to_version_id IS NOT NULL", name="somewhere"
        ),
    )

    vector_id: Mapped[UUID] = mapped_column(ForeignKey("vectors.id"), primary_key=True)
    alias: Mapped[str] = mapped_column(PART, primary_key=True)
    number: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="of the alias's moves, from 1"
    )
    from_version_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("versions.id"), comment="null: there was no such alias"
    )
    to_version_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("versions.id"), comment="null: it was removed"
    )
    token_id: Mapped[UUID] = mapped_column(
        ForeignKey("tokens.id"), comment="who moved it"
    )
    moved_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ProtectedAlias(Base):
    """An alias that not everybody may move who publishes."""

    __tablename__ = "protected_aliases"

    namespace: Mapped[str] = mapped_column(
        PART, ForeignKey("namespaces.name"), primary_key=True
    )
    vector: Mapped[str] = mapped_column(
        PART,
        primary_key=True,
        comment="name of the only one it is about; empty: all that have no own row",
    )
    alias: Mapped[str] = mapped_column(PART, primary_key=True)
    created_at: Mapped[datetime] = created_now()


class AliasMover(Base):
    """A member who may move a protected alias, beside the owners."""

    __tablename__ = "alias_movers"
    __table_args__ = (
        ForeignKeyConstraint(
            ["namespace", "vector", "alias"],
            [
                "protected_aliases.namespace",
                "protected_aliases.vector",
                "protected_aliases.alias",
            ],
            ondelete="CASCADE",
            name="fk_alias_movers_protected_aliases",
        ),
        ForeignKeyConstraint(
            ["namespace", "account_id"],
            ["members.namespace", "members.account_id"],
            ondelete="CASCADE",
        ),
    )

    namespace: Mapped[str] = mapped_column(PART, primary_key=True)
    vector: Mapped[str] = mapped_column(PART, primary_key=True)
    alias: Mapped[str] = mapped_column(PART, primary_key=True)
    account_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)


class Deprecation:
    """That something should not be used any more, and what should; by its columns."""

    deprecated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    message: Mapped[str] = mapped_column(StoredText)
    successor: Mapped[str | None] = mapped_column(
        StoredText, comment="a reference; null: there is none"
    )
    token_id: Mapped[UUID] = mapped_column(
        ForeignKey("tokens.id"), comment="who said so"
    )


class VersionDeprecation(Deprecation, Base):
    """A version that should not be used any more. No row: it may be."""

    __tablename__ = "version_deprecations"

    version_id: Mapped[UUID] = mapped_column(
        ForeignKey("versions.id"), primary_key=True
    )


class VectorDeprecation(Deprecation, Base):
    """A vector of which no version should be used any more."""

    __tablename__ = "vector_deprecations"

    vector_id: Mapped[UUID] = mapped_column(ForeignKey("vectors.id"), primary_key=True)


class Advisory(Base):
    """What is known to be wrong with some versions of a vector.

    It never changes but for being withdrawn.
    """

    __tablename__ = "advisories"
    __table_args__ = (
        one_of("severity", "low", "moderate", "high", "critical"),
        CheckConstraint("number > 0", name="number"),
        CheckConstraint(
            "(withdrawn_at IS NULL) = (withdrawal_reason IS NULL)", name="withdrawal"
        ),
    )

    vector_id: Mapped[UUID] = mapped_column(ForeignKey("vectors.id"), primary_key=True)
    number: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="of the vector's, from 1"
    )
    severity: Mapped[str] = mapped_column(String(16))
    affected: Mapped[str] = mapped_column(StoredText, comment="a range of versions")
    summary: Mapped[str] = mapped_column(StoredText)
    details: Mapped[str] = mapped_column(StoredText)
    fixed_in: Mapped[str | None] = mapped_column(
        key_text(), comment="a version in its canonical spelling; null: none yet"
    )
    token_id: Mapped[UUID] = mapped_column(
        ForeignKey("tokens.id"), comment="who published it"
    )
    published_at: Mapped[datetime] = mapped_column(UtcDateTime)
    withdrawn_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="null: it stands"
    )
    withdrawal_reason: Mapped[str | None] = mapped_column(StoredText)
