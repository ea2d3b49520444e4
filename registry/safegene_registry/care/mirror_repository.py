"""Every SQL statement that only mirroring needs."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from safegene.artifact.reference import VectorName
from safegene_registry.access_repository import was_not_purged
from safegene_registry.events.kinds import Kind
from safegene_registry.models import (
    Alias,
    AliasMove,
    Attestation,
    EventRow,
    Token,
    Upload,
    Vector,
    Version,
    VersionState,
)


class Known(NamedTuple):
    """What a mirror has to know of a version that is here."""

    digest: str
    yank_reason: str | None
    is_whole: bool
    """Whether it was not purged."""


def known_versions(session: Session, vector: VectorName) -> dict[str, Known]:
    """The versions of a vector."""
    query = (
        select(
            Version.version,
            Version.digest,
            VersionState.yank_reason,
            was_not_purged().label("is_whole"),
        )
        .join(Vector, Vector.id == Version.vector_id)
        .outerjoin(VersionState, VersionState.version_id == Version.id)
        .where(Vector.namespace == vector.namespace, Vector.name == vector.name)
    )
    found = session.execute(query)
    return {row.version: Known(*row[1:]) for row in found}


def known_attestations(
    session: Session, vector: VectorName, version: str
) -> set[str] | None:
    """Digests of what is said of a version; None: it is not here, or purged."""
    query = (
        select(Version.id)
        .join(Vector, Vector.id == Version.vector_id)
        .where(
            Vector.namespace == vector.namespace,
            Vector.name == vector.name,
            Version.version == version,
            was_not_purged(),
        )
    )
    found = session.scalar(query)
    if found is None:
        return None
    said = select(Attestation.digest).where(Attestation.version_id == found)
    return set(session.scalars(said))


def yanked_by(session: Session, vector: VectorName, version: str) -> str | None:
    """The account that has yanked a version last."""
    query = (
        select(EventRow.actor)
        .where(
            EventRow.namespace == vector.namespace,
            EventRow.vector == vector.name,
            EventRow.version == version,
            EventRow.kind == Kind.VERSION_YANKED,
        )
        .order_by(EventRow.position.desc())
        .limit(1)
    )
    return session.scalar(query)


def aliases_of(
    session: Session, vector: VectorName
) -> dict[str, tuple[str, UUID | None]]:
    """Where each alias of a vector points, and the account that had it do so."""
    last = (
        select(AliasMove.alias, func.max(AliasMove.number).label("number"))
        .join(Vector, Vector.id == AliasMove.vector_id)
        .where(Vector.namespace == vector.namespace, Vector.name == vector.name)
        .group_by(AliasMove.alias)
        .subquery()
    )
    query = (
        select(Alias.name, Version.version, Token.account_id)
        .join(Vector, Vector.id == Alias.vector_id)
        .join(Version, Version.id == Alias.version_id)
        .outerjoin(last, last.c.alias == Alias.name)
        .outerjoin(
            AliasMove,
            (AliasMove.vector_id == Alias.vector_id)
            & (AliasMove.alias == Alias.name)
            & (AliasMove.number == last.c.number),
        )
        .outerjoin(Token, Token.id == AliasMove.token_id)
        .where(Vector.namespace == vector.namespace, Vector.name == vector.name)
    )
    found = session.execute(query)
    return {row.name: (row.version, row.account_id) for row in found}


def account_of(session: Session, token_id: UUID) -> UUID | None:
    """Whose token it is."""
    return session.scalar(select(Token.account_id).where(Token.id == token_id))


def find_open_upload(
    session: Session, account_id: UUID, digest: str, now: datetime
) -> UUID | None:
    """An upload of this manifest that the account has begun and not ended."""
    tokens = select(Token.id).where(Token.account_id == account_id)
    query = (
        select(Upload.id)
        .where(
            Upload.digest == digest,
            Upload.state == "open",
            Upload.expires_at > now,
            Upload.token_id.in_(tokens),
        )
        .order_by(Upload.created_at.desc())
        .limit(1)
    )
    return session.scalar(query)


def usable_token(
    session: Session, account_id: UUID, name: str, now: datetime
) -> UUID | None:
    """A token of the account that is called so and will work for long."""
    query = (
        select(Token.id)
        .where(
            Token.account_id == account_id,
            Token.name == name,
            Token.revoked_at.is_(None),
            Token.expires_at > now,
        )
        .order_by(Token.expires_at.desc())
        .limit(1)
    )
    return session.scalar(query)
