"""Every SQL statement about tokens."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from safegene_registry.models import Token


def find_token(session: Session, digest: str) -> Token | None:
    """The token whose secret has this digest."""
    return session.scalar(select(Token).where(Token.digest == digest))


def has_tokens(session: Session) -> bool:
    """Whether any token was ever made."""
    return session.scalar(select(Token.id).limit(1)) is not None


def add_token(session: Session, *, name: str, digest: str, scope: str) -> None:
    """Keep a new token's digest."""
    session.add(Token(name=name, digest=digest, scope=scope))
    session.flush()


# Vectors and versions
