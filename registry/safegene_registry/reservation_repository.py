"""Statements about the room that uploads have reserved; see `repositories`.

A reservation goes with its upload, which may be cancelled or expire, and with the
publication of its version. One version is published once, so uploads of it reserve the
room of the largest.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, or_, select
from sqlalchemy.orm import Session

from safegene.artifact.manifest import Manifest
from safegene_registry.models import Member, Reservation, Token, Upload


def add_reservation(session: Session, upload_id: UUID, manifest: Manifest) -> None:
    """Keep room for the version of an upload."""
    session.add(
        Reservation(
            upload_id=upload_id,
            namespace=manifest.namespace,
            version=version_key(manifest),
            size_bytes=manifest.size_bytes,
        )
    )
    session.flush()


def end_reservations(session: Session, manifest: Manifest) -> None:
    """Give back what uploads of a version have reserved: it is published."""
    session.execute(delete(Reservation).where(*of_version(manifest)))


def reserved_bytes(
    session: Session,
    namespace: str,
    *,
    now: datetime,
    account_id: UUID | None = None,
    beside: Manifest | None = None,
) -> int:
    """What uploads that may still be published have reserved in a namespace.

    Those of its members, and of the account that asks: strangers, who may have opened
    theirs before the namespace was made or before they had to leave, hold nothing back.

    Args:
        session: of the transaction.
        namespace: which; it need not exist.
        now: the time.
        account_id: who asks.
        beside: not what is reserved for this version.
    """
    members = select(Member.account_id).where(
        Member.namespace == namespace, Member.account_id == Token.account_id
    )
    counted: list[ColumnElement[bool]] = [members.exists()]
    if account_id is not None:
        counted.append(Token.account_id == account_id)
    query: Select[int] = (
        select(func.max(Reservation.size_bytes).label("size_bytes"))
        .join(Upload, Upload.id == Reservation.upload_id)
        .join(Token, Token.id == Upload.token_id)
        .where(Reservation.namespace == namespace, Upload.expires_at > now)
        .where(or_(*counted))
        .group_by(Reservation.version)
    )
    if beside is not None:
        query = query.where(Reservation.version != version_key(beside))
    sizes = query.subquery()
    total = select(func.coalesce(func.sum(sizes.c.size_bytes), 0))
    return int(session.scalars(total).one())


def of_version(manifest: Manifest) -> Sequence[ColumnElement[bool]]:
    """The condition that a reservation is for this version."""
    return (
        Reservation.namespace == manifest.namespace,
        Reservation.version == version_key(manifest),
    )


def version_key(manifest: Manifest) -> str:
    """A version's name within its namespace."""
    return f"{manifest.name}@{manifest.version}"
