"""Every SQL statement about aliases, their moves, and who may move them.

As in `repositories`, functions take the session of the current transaction and decide
nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, delete, func, select
from sqlalchemy.orm import Session, aliased, contains_eager

from safegene_registry.models import (
    Account,
    Alias,
    AliasMove,
    AliasMover,
    Member,
    ProtectedAlias,
    Token,
    Version,
)

ALL_VECTORS = ""
"""In the place of a vector's name: all of the namespace that have no rule of their own.

No vector can be called so.
"""


# Aliases


def find_alias(session: Session, vector_id: UUID, name: str) -> Alias | None:
    """An alias, with its version and that one's state."""
    found = list_aliases(session, vector_id, name=name)
    return found[0] if found else None


def list_aliases(
    session: Session,
    vector_id: UUID,
    *,
    name: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> Sequence[Alias]:
    """Aliases of a vector by name, with their versions and those ones' states."""
    version = contains_eager(Alias.version)
    query = (
        select(Alias)
        .join(Alias.version)
        .outerjoin(Version.state)
        .options(version, version.contains_eager(Version.state))
        .where(Alias.vector_id == vector_id)
        .order_by(Alias.name)
    )
    if name is not None:
        query = query.where(Alias.name == name)
    if after is not None:
        query = query.where(Alias.name > after)
    return session.scalars(query.limit(limit)).all()


def aliases_of(session: Session, version_id: UUID) -> Sequence[Alias]:
    """The aliases that point at a version, by name."""
    query = select(Alias).where(Alias.version_id == version_id).order_by(Alias.name)
    return session.scalars(query).all()


def point_alias(
    session: Session,
    alias: Alias | None,
    version: Version,
    *,
    name: str,
    token_id: UUID,
    at: datetime,
) -> None:
    """Have an alias mean a version from now on; None: there is none of the name yet.

    The caller holds the lock of the vector, as for `remove_alias`.
    """
    before = None if alias is None else alias.version_id
    if alias is None:
        alias = Alias(vector_id=version.vector_id, name=name)
        session.add(alias)
    alias.version_id = version.id
    alias.moved_at = at
    _add_move(session, alias, before, version.id, token_id=token_id)


def remove_alias(
    session: Session, alias: Alias, *, token_id: UUID, at: datetime
) -> None:
    """Forget an alias; its moves stay."""
    alias.moved_at = at
    _add_move(session, alias, alias.version_id, None, token_id=token_id)
    session.execute(
        delete(Alias).where(
            Alias.vector_id == alias.vector_id, Alias.name == alias.name
        )
    )


def _add_move(
    session: Session,
    alias: Alias,
    before: UUID | None,
    after: UUID | None,
    *,
    token_id: UUID,
) -> None:
    last = session.scalar(
        select(func.max(AliasMove.number)).where(
            AliasMove.vector_id == alias.vector_id, AliasMove.alias == alias.name
        )
    )
    session.add(
        AliasMove(
            vector_id=alias.vector_id,
            alias=alias.name,
            number=(last or 0) + 1,
            from_version_id=before,
            to_version_id=after,
            token_id=token_id,
            moved_at=alias.moved_at,
        )
    )
    session.flush()


def list_moves(
    session: Session,
    vector_id: UUID,
    name: str,
    *,
    before: int | None,
    limit: int,
) -> Sequence[Row[AliasMove, str | None, str | None, str]]:
    """Moves of an alias with both versions' numbers and the account, the last first."""
    left, reached = aliased(Version), aliased(Version)
    query = (
        select(AliasMove, left.version, reached.version, Account.name)
        .outerjoin(left, left.id == AliasMove.from_version_id)
        .outerjoin(reached, reached.id == AliasMove.to_version_id)
        .join(Token, Token.id == AliasMove.token_id)
        .join(Account, Account.id == Token.account_id)
        .where(AliasMove.vector_id == vector_id, AliasMove.alias == name)
    )
    if before is not None:
        query = query.where(AliasMove.number < before)
    return session.execute(query.order_by(AliasMove.number.desc()).limit(limit)).all()


# Protection


def protecting_rules(
    session: Session, namespace: str, vector: str, names: Iterable[str]
) -> dict[str, str]:
    """Which of these aliases of a vector are protected, and by the rule about what.

    A vector's own rule goes before the namespace's.
    """
    query = (
        select(ProtectedAlias.alias, ProtectedAlias.vector)
        .where(
            ProtectedAlias.namespace == namespace,
            ProtectedAlias.vector.in_([ALL_VECTORS, vector]),
            ProtectedAlias.alias.in_(list(names)),
        )
        .order_by(ProtectedAlias.vector)
    )
    return {row.alias: row.vector for row in session.execute(query)}


def is_mover(
    session: Session, namespace: str, vector: str, alias: str, account_id: UUID
) -> bool:
    """Whether a rule names an account."""
    query = select(AliasMover.account_id).where(
        AliasMover.namespace == namespace,
        AliasMover.vector == vector,
        AliasMover.alias == alias,
        AliasMover.account_id == account_id,
    )
    return session.scalar(query) is not None


def list_rules(
    session: Session, namespace: str, *, after: tuple[str, str] | None, limit: int
) -> Sequence[ProtectedAlias]:
    """The rules of a namespace by alias and vector."""
    query = select(ProtectedAlias).where(ProtectedAlias.namespace == namespace)
    if after is not None:
        alias, vector = after
        query = query.where(
            (ProtectedAlias.alias > alias)
            | ((ProtectedAlias.alias == alias) & (ProtectedAlias.vector > vector))
        )
    query = query.order_by(ProtectedAlias.alias, ProtectedAlias.vector)
    return session.scalars(query.limit(limit)).all()


def list_movers(
    session: Session, namespace: str, aliases: Iterable[str]
) -> Sequence[Row[str, str, str]]:
    """Alias, vector and account of all who are named in rules about these aliases."""
    query = (
        select(AliasMover.alias, AliasMover.vector, Account.name)
        .join(Account, Account.id == AliasMover.account_id)
        .where(AliasMover.namespace == namespace, AliasMover.alias.in_(list(aliases)))
        .order_by(Account.name)
    )
    return session.execute(query).all()


def find_members(
    session: Session, namespace: str, accounts: Iterable[str]
) -> dict[str, UUID]:
    """Those of the accounts that are members, by name."""
    query = (
        select(Account.name, Account.id)
        .join(Member, Member.account_id == Account.id)
        .where(Member.namespace == namespace, Account.name.in_(list(accounts)))
    )
    return {row.name: row.id for row in session.execute(query)}


def put_rule(
    session: Session,
    namespace: str,
    vector: str,
    alias: str,
    movers: Iterable[UUID],
) -> None:
    """Protect an alias, or say anew who may move it."""
    key = {"namespace": namespace, "vector": vector, "alias": alias}
    delete_rule(session, namespace, vector, alias)
    session.add(ProtectedAlias(**key))
    session.flush()
    session.add_all(AliasMover(**key, account_id=account) for account in movers)
    session.flush()


def delete_rule(session: Session, namespace: str, vector: str, alias: str) -> bool:
    """Forget a rule with all it names; whether there was one."""
    gone = session.scalars(
        delete(ProtectedAlias)
        .where(
            ProtectedAlias.namespace == namespace,
            ProtectedAlias.vector == vector,
            ProtectedAlias.alias == alias,
        )
        .returning(ProtectedAlias.alias)
    ).all()
    return bool(gone)
