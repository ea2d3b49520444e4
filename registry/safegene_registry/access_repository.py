"""Every SQL statement about namespaces, their members and their trusted publishers.

`readable` is how private namespaces are kept out of every list: as a condition of the
statement, so that pages stay full and nobody has to filter afterwards.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, delete, func, or_, select, true, update
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from safegene_registry.access import Reader, Role, Visibility
from safegene_registry.lock_repository import insert_missing
from safegene_registry.models import (
    Account,
    File,
    Member,
    Namespace,
    Purge,
    Token,
    TrustedPublisher,
    Upload,
    Vector,
    Version,
)


def readable(
    namespace: ColumnElement[str] | InstrumentedAttribute[str],
    reader: Reader,
    *,
    late: bool = False,
) -> ColumnElement[bool]:
    """The condition that a column names a namespace which the reader may read.

    Args:
        namespace: the column.
        reader: who is asking.
        late: ask it of one row after the other, for as long as rows are wanted. A
            database may else prepare an answer for all namespaces first.
    """
    # An alias: the statement around it may be about namespaces as well.
    room = aliased(Namespace)
    visible: ColumnElement[bool] = room.visibility == Visibility.PUBLIC
    if reader.sees_all or reader.account_id is not None:
        members = select(Member.namespace).where(
            Member.namespace == room.name, Member.account_id == reader.account_id
        )
        own: list[ColumnElement[bool]] = [
            true() if reader.sees_all else members.exists()
        ]
        if reader.namespace is not None:
            own.append(room.name == reader.namespace)
        visible = or_(visible, and_(*own))
    found = select(room.name).where(room.name == namespace, visible)
    return (found.offset(0) if late else found).exists()


# Namespaces


def find_namespace(
    session: Session, name: str, *, lock: bool = False
) -> Namespace | None:
    """The namespace of this name.

    Args:
        session: of the transaction.
        name: of the namespace.
        lock: keep others who lock it out until the transaction ends; they may still
            refer to it.
    """
    query = select(Namespace).where(Namespace.name == name)
    return session.scalar(query.with_for_update(key_share=True) if lock else query)


def hold_members(session: Session, name: str) -> None:
    """Keep the members of a namespace as they are until the transaction ends."""
    query = select(Namespace.name).where(Namespace.name == name)
    session.execute(query.with_for_update(read=True))


def find_standing(
    session: Session, name: str, account_id: UUID | None
) -> tuple[Visibility | None, Role | None]:
    """Who may read a namespace, None if there is none; the account's role in it."""
    if account_id is None:
        query = select(Namespace.visibility).where(Namespace.name == name)
        visibility, role = session.scalar(query), None
    else:
        row = session.execute(
            select(Namespace.visibility, Member.role)
            .outerjoin(
                Member,
                (Member.namespace == Namespace.name)
                & (Member.account_id == account_id),
            )
            .where(Namespace.name == name)
        ).one_or_none()
        visibility, role = row or (None, None)
    return (
        None if visibility is None else Visibility(visibility),
        None if role is None else Role(role),
    )


def list_namespaces(
    session: Session, reader: Reader, *, after: str | None, limit: int
) -> Sequence[Namespace]:
    """Namespaces that the reader may read, by name."""
    query = select(Namespace).where(readable(Namespace.name, reader))
    if after is not None:
        query = query.where(Namespace.name > after)
    return session.scalars(query.order_by(Namespace.name).limit(limit)).all()


def add_namespace(
    session: Session, name: str, visibility: Visibility, quota_bytes: int | None
) -> bool:
    """Make a namespace; False when there is one of this name."""
    facts = {"visibility": visibility, "quota_bytes": quota_bytes}
    return insert_missing(session, Namespace.name, {name: facts}) == 1


def set_visibility(
    session: Session, namespace: Namespace, visibility: Visibility
) -> None:
    """Change who may read a namespace."""
    namespace.visibility = visibility
    session.flush()


def set_quota(session: Session, namespace: Namespace, quota_bytes: int | None) -> None:
    """Change how much a namespace may hold."""
    namespace.quota_bytes = quota_bytes
    session.flush()


def used_bytes(session: Session, namespace: str) -> int:
    """What the versions of a namespace add up to, without those that were purged."""
    query = (
        select(func.coalesce(func.sum(Version.size_bytes), 0))
        .join(Vector, Vector.id == Version.vector_id)
        .where(Vector.namespace == namespace, was_not_purged())
    )
    return int(session.scalars(query).one())


def used_by_namespace(session: Session) -> dict[str, int]:
    """What the versions of every namespace that has any add up to."""
    query = (
        select(Vector.namespace, func.sum(Version.size_bytes))
        .join(Version, Version.vector_id == Vector.id)
        .where(was_not_purged())
        .group_by(Vector.namespace)
    )
    return {name: int(total) for name, total in session.execute(query)}


def was_not_purged() -> ColumnElement[bool]:
    """Whether a version's bytes are there, for any statement about versions."""
    purged = select(Purge.version_id).where(Purge.version_id == Version.id)
    return ~purged.exists()


# Uploads and blobs


def find_upload_of(
    session: Session, upload_id: UUID, account_id: UUID
) -> Upload | None:
    """An upload that a token of this account opened."""
    query = (
        select(Upload)
        .join(Token, Token.id == Upload.token_id)
        .where(Upload.id == upload_id, Token.account_id == account_id)
    )
    return session.scalar(query)


def readable_blobs(
    session: Session, digests: Iterable[str], reader: Reader
) -> set[str]:
    """Which of these blobs belong to a version that the reader may read."""
    query = (
        select(File.digest)
        .join(Version, Version.id == File.version_id)
        .join(Vector, Vector.id == Version.vector_id)
        .where(
            File.digest.in_(list(digests)),
            readable(Vector.namespace, reader),
            was_not_purged(),
        )
        .distinct()
    )
    return set(session.scalars(query))


# Members


def find_member(session: Session, namespace: str, account_id: UUID) -> Member | None:
    """What an account may do in a namespace."""
    return session.get(Member, (namespace, account_id))


def list_members(
    session: Session, namespace: str, *, after: str | None, limit: int
) -> Sequence[Row[Member, Account]]:
    """Members of a namespace with their accounts, by the accounts' names."""
    query = (
        select(Member, Account)
        .join(Account, Account.id == Member.account_id)
        .where(Member.namespace == namespace)
    )
    if after is not None:
        query = query.where(Account.name > after)
    return session.execute(query.order_by(Account.name).limit(limit)).all()


def roles_of(session: Session, account_id: UUID, limit: int) -> Sequence[Member]:
    """Where an account is a member, by namespace."""
    query = select(Member).where(Member.account_id == account_id)
    return session.scalars(query.order_by(Member.namespace).limit(limit)).all()


def count_owners(session: Session, namespace: str) -> int:
    """How many owners a namespace has."""
    query = select(func.count()).where(
        Member.namespace == namespace, Member.role == Role.OWNER
    )
    return session.scalars(query).one()


def add_member(session: Session, member: Member) -> None:
    """Keep a new member."""
    session.add(member)
    session.flush()


def set_role(session: Session, member: Member, role: Role) -> None:
    """Let a member do more or less than until now."""
    member.role = role
    session.flush()


def delete_member(session: Session, namespace: str, account_id: UUID) -> None:
    """End a membership, and with it the trust in the CI job whose account it was."""
    session.execute(
        delete(Member).where(
            Member.namespace == namespace, Member.account_id == account_id
        )
    )


# Trusted publishers


def add_publisher(session: Session, publisher: TrustedPublisher) -> None:
    """Keep a new trusted publisher."""
    session.add(publisher)
    session.flush()
    session.refresh(publisher)


def list_publishers(
    session: Session, namespace: str, *, after: str | None, limit: int
) -> Sequence[Row[TrustedPublisher, Account, Member]]:
    """Trusted publishers of a namespace with account and membership, by name."""
    query = (
        select(TrustedPublisher, Account, Member)
        .join(Account, Account.id == TrustedPublisher.account_id)
        .join(
            Member,
            (Member.namespace == TrustedPublisher.namespace)
            & (Member.account_id == TrustedPublisher.account_id),
        )
        .where(TrustedPublisher.namespace == namespace)
    )
    if after is not None:
        query = query.where(Account.name > after)
    return session.execute(query.order_by(Account.name).limit(limit)).all()


def publishers_trusting(
    session: Session, namespace: str, issuer: str
) -> Sequence[Row[TrustedPublisher, Account, Member]]:
    """Trusted publishers of a namespace that name this issuer, the oldest first."""
    query = (
        select(TrustedPublisher, Account, Member)
        .join(Account, Account.id == TrustedPublisher.account_id)
        .join(
            Member,
            (Member.namespace == TrustedPublisher.namespace)
            & (Member.account_id == TrustedPublisher.account_id),
        )
        .where(
            TrustedPublisher.namespace == namespace, TrustedPublisher.issuer == issuer
        )
        .order_by(TrustedPublisher.created_at, TrustedPublisher.id)
    )
    return session.execute(query).all()


def set_publisher_used(session: Session, publisher_id: UUID, at: datetime) -> None:
    """Write down when a trusted publisher was last used."""
    session.execute(
        update(TrustedPublisher)
        .where(TrustedPublisher.id == publisher_id)
        .values(last_used_at=at)
    )
