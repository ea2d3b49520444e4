"""Who is asking: bearer tokens, kept as digests, with one scope each.

Reads are public today, so only writes ask for a token. `WritePrincipal` is the
dependency that writing routes declare; a route that has it never runs for a stranger.
"""

import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from safegene.artifact.digest import digest_bytes
from safegene_registry import token_repository
from safegene_registry.problems import ProblemError
from safegene_registry.services import ServicesDep

TOKEN_PREFIX = "sgt_"  # noqa: S105 - a public prefix, so that leaks can be searched for
SECRET_BYTES = 32


class Scope(StrEnum):
    """What a token may do; each scope includes the ones before it."""

    PUBLISH = "publish"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a valid token."""

    token_id: UUID
    account_id: UUID
    name: str
    scope: Scope


def create_token(session: Session, *, name: str, scope: Scope) -> str:
    """Make a token and keep its digest; its account is called as it is.

    Returns:
        The secret, which nobody can read again.
    """
    secret = TOKEN_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    account = token_repository.named_account(session, name)
    account.is_admin = account.is_admin or scope is Scope.ADMIN
    token_repository.add_token(
        session,
        account_id=account.id,
        name=name,
        digest=token_digest(secret),
        scope=scope,
    )
    return secret


def token_digest(secret: str) -> str:
    """What is kept of a secret; 256 random bits need no salt and no slow hash."""
    return str(digest_bytes(secret.encode()))


bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token made with `safegene-registry token create`.",
)


def write_principal(
    services: ServicesDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Principal:
    """The holder of the request's token."""
    if credentials is None:
        detail = "This request needs a token: Authorization: Bearer sgt_…"
        raise ProblemError(detail, "authentication-required")
    with services.database.reading() as session:
        digest = token_digest(credentials.credentials)
        token = token_repository.find_token(session, digest)
    if token is None:
        detail = "This registry does not know the token that was sent."
        raise ProblemError(detail, "authentication-required")
    return Principal(
        token_id=token.id,
        account_id=token.account_id,
        name=token.name,
        scope=Scope(token.scope),
    )


WritePrincipal = Annotated[Principal, Depends(write_principal)]
