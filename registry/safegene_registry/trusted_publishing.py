"""Trusted publishers: CI jobs that publish without a secret of their own.

An owner writes down which jobs to trust: an issuer, and claims that its JWTs must have.
A job sends its JWT and gets a token that lives for minutes, opens this namespace only
and is that of an account made for the purpose. What strangers learn from a refusal does
not tell whether the namespace exists or whom it trusts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from safegene.artifact.reference import check_part
from safegene_registry import access_repository, token_repository
from safegene_registry.access import Role, Scope
from safegene_registry.auth import issue_token
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.jwts import (
    JwtError,
    audiences,
    has_claims,
    once_id,
    verify_jwt,
)
from safegene_registry.log import get_logger
from safegene_registry.membership import find_namespace
from safegene_registry.models import Account, Member, Token, TrustedPublisher
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.services import Services

log = get_logger("safegene_registry.trusted_publishing")

NAMING_CLAIMS = frozenset(
    {
        "sub",
        # GitHub Actions
        *("repository", "repository_id"),
        # GitLab
        *("project_path", "project_id"),
        "oidc.circleci.com/project-id",
    }
)
"""Claims that tell one project of an issuer from all others.

An issuer like GitHub's signs for everybody: trusting whoever has `ref` =
`refs/heads/main` would be trusting everybody.
"""

LOGGED_CLAIMS = ("sub", "repository", "project_path", "ref", "run_id", "job_id")

MAX_NAME = 128


@dataclass(frozen=True, slots=True)
class WantedPublisher:
    """A trusted publisher to be made."""

    name: str
    """What owners call it; unique within the namespace."""
    issuer: str
    claims: Mapping[str, str | int | bool]
    audience: str | None = None
    """None: the one of the settings."""
    role: Role = Role.PUBLISHER


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What a JWT was exchanged for."""

    secret: str
    token: Token
    account: str


def account_name(namespace: str, name: str) -> str:
    """What the account of a trusted publisher is called; users' have no colon."""
    return f"{namespace}:{name}"


def add_publisher(
    services: Services,
    session: Session,
    namespace: str,
    wanted: WantedPublisher,
    *,
    created_by: Account,
    by: str,
) -> tuple[TrustedPublisher, Account]:
    """Trust the CI jobs that the claims describe.

    Raises:
        ProblemError: `not-found`: there is no such namespace; `name-taken`;
            `invalid-request`: the registry does not ask this issuer, or the claims
            would fit other people's projects as well.
    """
    check_part(wanted.name, "name")
    check_trust(services, wanted)
    find_namespace(session, namespace, lock=True)
    account = token_repository.named_account(
        session, account_name(namespace, wanted.name), kind="ci"
    )
    if account.kind != "ci" or access_repository.find_member(
        session, namespace, account.id
    ):
        detail = f"{namespace} has a trusted publisher {wanted.name!r} already."
        raise ProblemError(detail, "name-taken")
    access_repository.add_member(
        session, Member(namespace=namespace, account_id=account.id, role=wanted.role)
    )
    publisher = TrustedPublisher(
        namespace=namespace,
        account_id=account.id,
        issuer=wanted.issuer,
        audience=wanted.audience or services.settings.oidc_audience,
        claims=dict(wanted.claims),
        created_by=created_by.id,
        created_at=services.now(),
    )
    access_repository.add_publisher(session, publisher)
    record(
        session,
        namespace,
        Kind.PUBLISHER_ADDED,
        by=by,
        account=account.name,
        issuer=publisher.issuer,
        audience=publisher.audience,
        claims=publisher.claims,
        role=wanted.role,
    )
    log.info(
        "publisher_added",
        namespace=namespace,
        account=account.name,
        issuer=publisher.issuer,
        audience=publisher.audience,
        claims=publisher.claims,
        role=wanted.role,
        by=by,
    )
    return publisher, account


def check_trust(services: Services, wanted: WantedPublisher) -> None:
    """Refuse what could never work, and what would let strangers in."""
    faults = []
    issuers = services.settings.oidc_issuers
    if wanted.issuer not in issuers:
        known = ", ".join(issuers) or "none"
        faults.append(
            Fault(
                "/issuer",
                f"OIDC_ISSUERS of the registry's settings names {known}, not this one",
            )
        )
    if not NAMING_CLAIMS & wanted.claims.keys():
        names = ", ".join(sorted(NAMING_CLAIMS))
        faults.append(Fault("/claims", f"at least one must name a project: {names}"))
    if wanted.role is Role.OWNER:
        faults.append(Fault("/role", "CI jobs cannot own a namespace"))
    if faults:
        named = "; ".join(f"{fault.pointer[1:]}: {fault.detail}" for fault in faults)
        detail = f"This cannot be trusted: {named}."
        raise ProblemError(detail, "invalid-request", faults=faults)


def remove_publisher(session: Session, namespace: str, name: str, *, by: str) -> None:
    """Trust these jobs no longer; tokens they still have open nothing from now on.

    Raises:
        ProblemError: `not-found`.
    """
    find_namespace(session, namespace, lock=True)
    account = token_repository.find_account(session, account_name(namespace, name))
    if account is None or not access_repository.find_member(
        session, namespace, account.id
    ):
        detail = f"{namespace} has no trusted publisher {name!r}."
        raise ProblemError(detail, "not-found")
    access_repository.delete_member(session, namespace, account.id)
    record(session, namespace, Kind.PUBLISHER_REMOVED, by=by, account=account.name)
    log.info("publisher_removed", namespace=namespace, account=account.name, by=by)


def exchange(services: Services, namespace: str, jwt: str) -> Exchanged:
    """Give a CI job a token for its JWT.

    Args:
        services: the process's parts.
        namespace: where it wants to publish.
        jwt: what the issuer says of the job.

    Raises:
        ProblemError: `identity-rejected` or `issuer-unavailable`.
        InvalidReferenceError: the namespace is malformed.
    """
    check_part(namespace, "namespace")
    try:
        claims = verify_jwt(jwt, services.issuers)
    except JwtError as error:
        log.info("jwt_rejected", namespace=namespace, reason=str(error))
        detail = f"The JWT is not believed: {error}."
        raise rejected(detail) from error
    said = {name: claims[name] for name in LOGGED_CLAIMS if name in claims}
    try:
        with services.database.writing() as session:
            found = find_trusted(session, namespace, claims)
            if found is None:
                log.info(
                    "jwt_rejected", namespace=namespace, reason="not trusted", **said
                )
                detail = (
                    f"No trusted publisher of {namespace} accepts this JWT: none has"
                    f" its issuer {claims['iss']!r}, its audience {claims['aud']!r} and"
                    " only claims that it has."
                )
                raise rejected(detail)
            exchanged = mint(services, session, claims, found)
    except IntegrityError as error:
        # The other of two that came at once has the token's id.
        log.warning("jwt_replayed", namespace=namespace, **said)
        raise replayed() from error
    log.info(
        "jwt_exchanged",
        namespace=namespace,
        account=exchanged.account,
        token_id=str(exchanged.token.id),
        expires_at=exchanged.token.expires_at,
        jti=claims.get("jti"),
        **said,
    )
    return exchanged


def find_trusted(
    session: Session, namespace: str, claims: Mapping[str, Any]
) -> Row[TrustedPublisher, Account, Member] | None:
    """The oldest trusted publisher that a JWT stands for."""
    meant_for = audiences(claims)
    for row in access_repository.publishers_trusting(session, namespace, claims["iss"]):
        publisher, _account, _member = row
        if publisher.audience in meant_for and has_claims(claims, publisher.claims):
            return row
    return None


def mint(
    services: Services,
    session: Session,
    claims: Mapping[str, Any],
    trusted: Row[TrustedPublisher, Account, Member],
) -> Exchanged:
    """Make the short-lived token.

    A `jti` gives the token its id. So the database holds that each is used once,
    whichever replica it comes to, and nobody has to remember them. Without one, no
    token outlives the JWT: whoever has got hold of it is out when it expires.
    """
    publisher, account, member = trusted
    token_id = once_id(claims)
    if token_id is not None and token_repository.get_token(session, token_id):
        log.warning("jwt_replayed", account=account.name, jti=claims.get("jti"))
        raise replayed()
    now: datetime = services.now()
    ends = now + services.settings.oidc_token_ttl
    if token_id is None:
        ends = min(ends, datetime.fromtimestamp(int(claims["exp"]), UTC))
        if ends <= now:
            # Within the leeway of clocks, but there is no time left.
            detail = "The JWT is not believed: it has expired."
            raise rejected(detail)
    access_repository.set_publisher_used(session, publisher.id, now)
    secret, token = issue_token(
        session,
        account,
        name=printable(claims["sub"])[:MAX_NAME],
        scope=Scope.READ if member.role == Role.READER else Scope.PUBLISH,
        namespace=publisher.namespace,
        created_at=now,
        expires_at=ends,
        token_id=token_id,
    )
    record(
        session,
        publisher.namespace,
        Kind.TOKEN_EXCHANGED,
        by=account.name,
        token_id=str(token.id),
        scope=token.scope,
        expires_at=ends.isoformat(),
        claims={name: str(claims[name]) for name in LOGGED_CLAIMS if name in claims},
    )
    return Exchanged(secret, token, account.name)


def printable(text: str) -> str:
    """Foreign text that a database takes and a terminal survives."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)


def rejected(detail: str) -> ProblemError:
    """The problem."""
    return ProblemError(detail, "identity-rejected")


def replayed() -> ProblemError:
    """The problem of a JWT that was used before."""
    return rejected("This JWT was exchanged before; ask the issuer for a new one.")
