"""Every SQL statement about accounts and tokens."""

from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from safegene_registry.lock_repository import insert_missing
from safegene_registry.models import Account, Token


def find_token(session: Session, digest: str) -> Token | None:
    """The token whose secret has this digest."""
    return session.scalar(select(Token).where(Token.digest == digest))


def has_tokens(session: Session) -> bool:
    """Whether any token was ever made."""
    return session.scalar(select(Token.id).limit(1)) is not None


def named_account(session: Session, name: str) -> Account:
    """The account of this name, made if there is none."""
    query = select(Account).where(Account.name == name)
    account = session.scalar(query)
    if account is None:
        insert_missing(session, Account.name, {name: {"id": uuid4(), "kind": "user"}})
        account = session.scalars(query).one()
    return account


def add_token(
    session: Session, *, account_id: UUID, name: str, digest: str, scope: str
) -> None:
    """Keep a new token's digest."""
    session.add(Token(account_id=account_id, name=name, digest=digest, scope=scope))
    session.flush()
