"""Every SQL statement about accounts and tokens."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from safegene_registry.models import Account, Token


def find_token(session: Session, digest: str) -> Token | None:
    """The token whose secret has this digest."""
    return session.scalar(select(Token).where(Token.digest == digest))


def has_tokens(session: Session) -> bool:
    """Whether any token was ever made."""
    return session.scalar(select(Token.id).limit(1)) is not None


def named_account(session: Session, name: str) -> Account:
    """The account of this name, made if there is none."""
    account = session.scalar(select(Account).where(Account.name == name))
    if account is None:
        account = Account(name=name, kind="user", is_admin=False)
        session.add(account)
        session.flush()
    return account


def add_token(
    session: Session, *, account_id: UUID, name: str, digest: str, scope: str
) -> None:
    """Keep a new token's digest."""
    session.add(Token(account_id=account_id, name=name, digest=digest, scope=scope))
    session.flush()
