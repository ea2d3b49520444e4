"""Who is asking: bearer tokens, of which only digests are kept.

A token that is sent must be good, also where none is needed: whoever sends one that has
expired would otherwise wonder why private vectors are gone.
"""

import secrets
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from safegene.artifact.digest import digest_bytes
from safegene_registry import token_repository
from safegene_registry.access import Principal, Scope
from safegene_registry.log import get_logger
from safegene_registry.models import Account, Token
from safegene_registry.problems import ProblemError

log = get_logger("safegene_registry.auth")

TOKEN_PREFIX = "sgt_"  # noqa: S105 - a public prefix, so that leaks can be searched for
SECRET_BYTES = 32

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token made with `safegene-registry token create`.",
)

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


def token_digest(secret: str) -> str:
    """What is kept of a secret; 256 random bits need no salt and no slow hash."""
    return str(digest_bytes(secret.encode()))


def issue_token(
    session: Session,
    account: Account,
    *,
    name: str,
    scope: Scope,
    created_at: datetime,
    namespace: str | None = None,
    expires_at: datetime | None = None,
    token_id: UUID | None = None,
) -> tuple[str, Token]:
    """Make a token and keep its digest.

    Args:
        session: of the transaction.
        account: whom it lets in.
        name: what its holder calls it.
        scope: most that it may be used for.
        created_at: the time.
        namespace: the only one that it opens; None: all that the account may enter.
        expires_at: None: never.
        token_id: unless any will do.

    Returns:
        The secret, which nobody can read again, and what is kept.
    """
    secret = TOKEN_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    token = Token(
        id=token_id or uuid4(),
        account_id=account.id,
        name=name,
        digest=token_digest(secret),
        scope=scope,
        namespace=namespace,
        created_at=created_at,
        expires_at=expires_at,
    )
    token_repository.add_token(session, token)
    return secret, token


def authenticate(session: Session, secret: str, now: datetime) -> Principal:
    """The holder of a token.

    Raises:
        ProblemError: `authentication-required`: it is unknown, expired or revoked.
    """
    found = token_repository.find_token(session, token_digest(secret))
    if found is None:
        log.info("authentication_failed", reason="unknown")
        detail = "This registry does not know the token that was sent."
        raise not_authenticated(detail)
    token, account = found
    reason = why_useless(token, now)
    if reason is not None:
        log.info("authentication_failed", reason=reason, principal_id=str(token.id))
        detail = f"The token {token.name!r} {reason}."
        raise not_authenticated(detail)
    return Principal(
        token_id=token.id,
        account_id=account.id,
        account=account.name,
        name=token.name,
        scope=Scope(token.scope),
        namespace=token.namespace,
        is_operator=account.is_admin,
    )


def check_not_revoked(session: Session, caller: Principal) -> None:
    """Make sure that a token is not revoked, and will not be in this transaction.

    Its end is not looked at: it is the last moment to ask for something, and what was
    asked in time is carried out.

    Raises:
        ProblemError: `authentication-required`.
    """
    token = token_repository.hold_token(session, caller.token_id)
    if token.revoked_at is not None:
        log.info("token_revoked_meanwhile", principal_id=str(token.id))
        ended = token.revoked_at.isoformat(timespec="seconds")
        detail = f"The token {token.name!r} was revoked at {ended}."
        raise not_authenticated(detail)


def why_useless(token: Token, now: datetime) -> str | None:
    """What has ended the token; None while it works."""
    if token.revoked_at is not None:
        return f"was revoked at {token.revoked_at.isoformat(timespec='seconds')}"
    if token.expires_at is not None and token.expires_at <= now:
        return f"expired at {token.expires_at.isoformat(timespec='seconds')}"
    return None


def not_authenticated(detail: str) -> ProblemError:
    """The problem."""
    return ProblemError(detail, "authentication-required")
