"""Every SQL statement about accounts and tokens."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Row, or_, select, update
from sqlalchemy.orm import Session

from safegene_registry.lock_repository import insert_missing
from safegene_registry.models import Account, Token


def find_token(session: Session, digest: str) -> Row[Token, Account] | None:
    """The token whose secret has this digest, and whom it lets in."""
    query = select(Token, Account).join(Account, Account.id == Token.account_id)
    return session.execute(query.where(Token.digest == digest)).one_or_none()


def has_tokens(session: Session) -> bool:
    """Whether any token was ever made."""
    return session.scalar(select(Token.id).limit(1)) is not None


def find_account(session: Session, name: str) -> Account | None:
    """The account of this name."""
    return session.scalar(select(Account).where(Account.name == name))


def named_account(session: Session, name: str, *, kind: str = "user") -> Account:
    """The account of this name, made if there is none."""
    account = find_account(session, name)
    if account is not None:
        return account
    insert_missing(session, Account.name, {name: {"id": uuid4(), "kind": kind}})
    return session.scalars(select(Account).where(Account.name == name)).one()


def make_operator(session: Session, account: Account) -> None:
    """Let an account do everything, through tokens of scope `admin`."""
    account.is_admin = True
    session.flush()


def list_accounts(
    session: Session, *, after: str | None, limit: int
) -> Sequence[Account]:
    """Accounts by name, after the last of the page before."""
    query = select(Account)
    if after is not None:
        query = query.where(Account.name > after)
    return session.scalars(query.order_by(Account.name).limit(limit)).all()


def add_token(session: Session, token: Token) -> None:
    """Keep a new token; what the database fills in is there afterwards."""
    session.add(token)
    session.flush()
    session.refresh(token)


def get_token(session: Session, token_id: UUID) -> Row[Token, Account] | None:
    """A token and its account."""
    query = select(Token, Account).join(Account, Account.id == Token.account_id)
    return session.execute(query.where(Token.id == token_id)).one_or_none()


def hold_token(session: Session, token_id: UUID) -> Token:
    """A token that nobody can revoke before the transaction ends."""
    query = select(Token).where(Token.id == token_id)
    return session.scalars(query.with_for_update(read=True)).one()


def ended_tokens(
    session: Session, token_ids: Collection[UUID], now: datetime
) -> set[UUID]:
    """Those of some tokens that work no longer."""
    if not token_ids:
        return set()
    ended = or_(Token.revoked_at.is_not(None), Token.expires_at <= now)
    query = select(Token.id).where(Token.id.in_(token_ids), ended)
    return set(session.scalars(query))


def list_tokens(
    session: Session,
    *,
    account: str | None,
    namespace: str | None,
    live_at: datetime | None,
    after: UUID | None,
    limit: int,
) -> Sequence[Row[Token, Account]]:
    """Tokens by id, after the last of the page before.

    Args:
        session: of the transaction.
        account: only those of the account of this name.
        namespace: only those restricted to it.
        live_at: only those that work at this time.
        after: id of the last one.
        limit: at most so many.
    """
    query = select(Token, Account).join(Account, Account.id == Token.account_id)
    if account is not None:
        query = query.where(Account.name == account)
    if namespace is not None:
        query = query.where(Token.namespace == namespace)
    if live_at is not None:
        lives = or_(Token.expires_at.is_(None), Token.expires_at > live_at)
        query = query.where(Token.revoked_at.is_(None), lives)
    if after is not None:
        query = query.where(Token.id > after)
    return session.execute(query.order_by(Token.id).limit(limit)).all()


def revoke_tokens(
    session: Session, at: datetime, *, token_id: UUID | None, account_id: UUID
) -> Sequence[Row[UUID, str | None]]:
    """End one token of an account, or all of them.

    Returns:
        Id and namespace of each that worked until then.
    """
    statement = update(Token).where(
        Token.account_id == account_id, Token.revoked_at.is_(None)
    )
    if token_id is not None:
        statement = statement.where(Token.id == token_id)
    ended = session.execute(
        statement.values(revoked_at=at).returning(Token.id, Token.namespace)
    )
    return ended.all()


def set_last_used(session: Session, used: Mapping[UUID, datetime]) -> None:
    """Write down when tokens were used, unless a later use is known already."""
    # In one order everywhere: two replicas must not wait for each other.
    for token_id in sorted(used):
        at = used[token_id]
        earlier = or_(Token.last_used_at.is_(None), Token.last_used_at < at)
        session.execute(
            update(Token).where(Token.id == token_id, earlier).values(last_used_at=at)
        )
