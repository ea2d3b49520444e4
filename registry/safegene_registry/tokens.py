"""Making, listing and ending tokens, for their holders and for operators."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.orm import Session

from safegene_registry import access_repository, token_repository
from safegene_registry.access import Principal, Scope, rank
from safegene_registry.auth import issue_token
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.log import get_logger
from safegene_registry.models import Account, Token
from safegene_registry.problems import ProblemError

log = get_logger("safegene_registry.tokens")


@dataclass(frozen=True, slots=True)
class WantedToken:
    """A token to be made."""

    name: str
    scope: Scope
    namespace: str | None = None
    lifetime: timedelta | None = None
    """None: until it is revoked."""


def create_token(
    session: Session,
    account: Account,
    wanted: WantedToken,
    *,
    now: datetime,
    by: str,
) -> tuple[str, Token]:
    """Make a token of an account.

    Args:
        session: of the transaction.
        account: whom it lets in.
        wanted: what it may be used for.
        now: the time.
        by: who makes it, for the log.

    Returns:
        The secret, which nobody can read again, and what is kept.

    Raises:
        ProblemError: `not-found`: there is no such namespace.
    """
    if wanted.namespace is not None:
        found = access_repository.find_namespace(session, wanted.namespace)
        if found is None:
            detail = f"There is no namespace {wanted.namespace}."
            raise ProblemError(detail, "not-found")
    secret, token = issue_token(
        session,
        account,
        name=wanted.name,
        scope=wanted.scope,
        namespace=wanted.namespace,
        created_at=now,
        expires_at=None if wanted.lifetime is None else now + wanted.lifetime,
    )
    if token.namespace is not None:
        record(
            session,
            token.namespace,
            Kind.TOKEN_CREATED,
            by=by,
            token_id=str(token.id),
            account=account.name,
            scope=token.scope,
            expires_at=token.expires_at and token.expires_at.isoformat(),
        )
    log.info(
        "token_created",
        token_id=str(token.id),
        account=account.name,
        scope=token.scope,
        namespace=token.namespace,
        expires_at=token.expires_at,
        by=by,
    )
    return secret, token


def create_own_token(
    session: Session, caller: Principal, wanted: WantedToken, *, now: datetime
) -> tuple[str, Token, Account]:
    """Make another token of the caller's account, which opens no more than theirs.

    Raises:
        ProblemError: `forbidden`: it would; `not-found`: there is no such namespace, or
            none that the caller may know of.
    """
    row = token_repository.get_token(session, caller.token_id)
    if row is None:
        # Tokens stay for ever; this one was found a moment ago.
        raise no_token(caller.token_id)
    own, account = row
    if rank(wanted.scope) > rank(caller.scope):
        detail = f"A token of scope {caller.scope} makes none of scope {wanted.scope}."
        raise ProblemError(detail, "forbidden")
    if caller.namespace not in (None, wanted.namespace):
        detail = f"A token for {caller.namespace} makes only tokens for it."
        raise ProblemError(detail, "forbidden")
    ends = None if wanted.lifetime is None else now + wanted.lifetime
    if own.expires_at is not None and (ends is None or ends > own.expires_at):
        detail = (
            f"A token that expires at {own.expires_at.isoformat(timespec='seconds')}"
            " makes none that lives longer."
        )
        raise ProblemError(detail, "forbidden")
    if wanted.namespace is not None and not caller.operates(wanted.namespace):
        visibility, role = access_repository.find_standing(
            session, wanted.namespace, caller.account_id
        )
        if visibility != "public" and role is None:
            detail = f"There is no namespace {wanted.namespace}."
            raise ProblemError(detail, "not-found")
    secret, token = create_token(
        session, account, wanted, now=now, by=str(caller.token_id)
    )
    return secret, token, account


def revoke_token(
    session: Session,
    token_id: UUID,
    *,
    account: str | None,
    within: str | None,
    now: datetime,
    by: str,
) -> None:
    """End a token; ending it again is harmless.

    Args:
        session: of the transaction.
        token_id: which.
        account: it must be of the account of this name; None: of any.
        within: it must be restricted to this namespace; None: need not be.
        now: the time.
        by: who ends it, for the log.

    Raises:
        ProblemError: `not-found`.
    """
    found = token_repository.get_token(session, token_id)
    if found is None or not is_within(found, account, within):
        raise no_token(token_id)
    token, owner = found
    end_tokens(session, owner, token.id, now=now, by=by)
    log.info("token_revoked", token_id=str(token.id), account=owner.name, by=by)


def is_within(
    found: Row[Token, Account], account: str | None, within: str | None
) -> bool:
    """Whether the token is one that may be ended."""
    token, owner = found
    return account in (None, owner.name) and within in (None, token.namespace)


def revoke_all(session: Session, account: Account, *, now: datetime, by: str) -> int:
    """End every token of an account; how many worked until then."""
    count = end_tokens(session, account, None, now=now, by=by)
    log.info("tokens_revoked", account=account.name, count=count, by=by)
    return count


def end_tokens(
    session: Session, owner: Account, token_id: UUID | None, *, now: datetime, by: str
) -> int:
    """End one token of an account, or all of them; how many worked until then."""
    ended = token_repository.revoke_tokens(
        session, now, token_id=token_id, account_id=owner.id
    )
    for token in ended:
        if token.namespace is not None:
            record(
                session,
                token.namespace,
                Kind.TOKEN_REVOKED,
                by=by,
                token_id=str(token.id),
                account=owner.name,
            )
    return len(ended)


def find_account(session: Session, name: str) -> Account:
    """The account of this name, or `not-found`."""
    account = token_repository.find_account(session, name)
    if account is None:
        raise no_account(name)
    return account


def no_account(name: str) -> ProblemError:
    """The problem."""
    detail = f"There is no account {name!r}; it is made with its first token."
    return ProblemError(detail, "not-found")


def user_account(session: Session, name: str, *, operator: bool, by: str) -> Account:
    """A person's account, made if there is none.

    Args:
        session: of the transaction.
        name: of the account.
        operator: make it an operator's, if it is not yet.
        by: who decides that, for the log.

    Raises:
        ProblemError: `name-taken`: a CI job's account is called so.
    """
    account = token_repository.named_account(session, name)
    if account.kind != "user":
        detail = f"The account {name!r} is a trusted publisher's: CI jobs get tokens."
        raise ProblemError(detail, "name-taken")
    if operator and not account.is_admin:
        token_repository.make_operator(session, account)
        log.info("operator_made", account=account.name, by=by)
    return account


def no_token(token_id: UUID) -> ProblemError:
    """The problem."""
    return ProblemError(f"There is no token {token_id}.", "not-found")
