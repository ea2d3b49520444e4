"""What every route declares: who may call it, enforced before its handler runs.

A route has exactly one guard among its dependencies; `check_guards` refuses to build an
application that has a route without. A guard knows the caller, counts the request and
holds both against the table in `access`. Handlers get what it found as `Access`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy.orm import Session
from starlette.routing import BaseRoute

from safegene.artifact.reference import check_part
from safegene_registry import access_repository
from safegene_registry.access import (
    RULES,
    Action,
    Decision,
    Principal,
    Reader,
    Standing,
    Visibility,
    decide,
    reader_of,
)
from safegene_registry.addresses import address_key
from safegene_registry.auth import Credentials, authenticate, not_authenticated
from safegene_registry.limits import RateLimiter
from safegene_registry.log import get_logger
from safegene_registry.problems import ProblemError
from safegene_registry.services import Services, ServicesDep
from safegene_registry.settings import Creators

log = get_logger("safegene_registry.guards")

NamespacePath = Annotated[str, Path(max_length=64)]


@dataclass(frozen=True, slots=True)
class Access:
    """What a guard has found out about a request that it let pass."""

    standing: Standing

    @property
    def caller(self) -> Principal:
        """The holder of the token; only where the action takes one."""
        caller = self.standing.principal
        if caller is None:
            raise not_authenticated(NO_TOKEN)
        return caller

    @property
    def is_member(self) -> bool:
        """Whether the caller has a role in the namespace, or operates it."""
        caller, where = self.standing.principal, self.standing.namespace
        if caller is None or not caller.reaches(where):
            return False
        return self.standing.role is not None or caller.operates(where)

    @property
    def reader(self) -> Reader:
        """Whose eyes lists are seen with."""
        return reader_of(self.standing.principal)

    @property
    def is_public(self) -> bool:
        """Whether everybody may see what the caller sees."""
        return self.standing.visibility is Visibility.PUBLIC


NO_TOKEN = "This request needs a token: Authorization: Bearer sgt_…"  # noqa: S105


class Guard:
    """A dependency that lets a request pass if its caller may do this.

    Args:
        action: what the route does.
    """

    def __init__(self, action: Action) -> None:
        self.action = action


class PassGuard(Guard):
    """Everybody may, and nobody looks at tokens."""

    def __init__(self) -> None:
        super().__init__(Action.PASS)

    async def __call__(self) -> None:
        """Let pass."""


class CallerGuard(Guard):
    """For what is not about one namespace."""

    def __call__(
        self, request: Request, services: ServicesDep, credentials: Credentials
    ) -> Access:
        """Let pass, or refuse."""
        with services.database.reading() as session:
            caller = identify(services, session, request, credentials)
            standing = Standing(caller, open_creation=is_creation_open(services))
        return admit(self.action, standing, "")


class NamespaceGuard(Guard):
    """For what is about the namespace that the path names."""

    def __call__(
        self,
        request: Request,
        services: ServicesDep,
        credentials: Credentials,
        namespace: NamespacePath,
    ) -> Access:
        """Let pass, or refuse."""
        check_part(namespace, "namespace")
        with services.database.reading() as session:
            caller = identify(services, session, request, credentials)
            standing = find_standing(services, session, caller, namespace)
        name = request.path_params.get("name")
        hidden = (
            f"There is no namespace {namespace}."
            if name is None
            else f"There is no vector {namespace}/{name}."
        )
        return admit(self.action, standing, hidden)


class UploadGuard(Guard):
    """For an upload, which only the account that opened it knows of.

    By account, not by token: a CI job that is run again has another token.
    """

    def __call__(
        self,
        request: Request,
        services: ServicesDep,
        credentials: Credentials,
        upload_id: UUID,
    ) -> Access:
        """Let pass, or refuse."""
        hidden = f"There is no upload {upload_id}; it may have expired: open a new one."
        with services.database.reading() as session:
            caller = identify(services, session, request, credentials)
            if caller is None:
                raise not_authenticated(NO_TOKEN)
            upload = access_repository.find_upload_of(
                session, upload_id, caller.account_id
            )
            if upload is None or upload.expires_at <= services.now():
                raise ProblemError(hidden, "not-found")
            standing = find_standing(services, session, caller, upload.namespace)
        return admit(publishing_action(standing), standing, hidden)


def identify(
    services: Services, session: Session, request: Request, credentials: Credentials
) -> Principal | None:
    """The caller, known by token, after counting the request.

    Raises:
        ProblemError: `authentication-required` or `rate-limited`.
    """
    address = address_key(request.client.host if request.client else None)
    if credentials is None:
        count(services.limiter, f"address {address}")
        return None
    now = services.now()
    try:
        caller = authenticate(session, credentials.credentials, now)
    except ProblemError:
        count(services.limiter, f"address {address}")
        raise
    request.state.principal_id = str(caller.token_id)
    request.state.account = caller.account
    count(services.limiter, caller.token_id)
    services.usage.note(caller.token_id, now)
    return caller


def count(limiter: RateLimiter, caller: str | UUID) -> None:
    """Count a request.

    Raises:
        ProblemError: `rate-limited`.
    """
    seconds = limiter.take(caller)
    if seconds is not None:
        detail = (
            f"More than {limiter.per_minute} requests a minute came from this caller;"
            f" wait {seconds} seconds."
        )
        raise ProblemError(
            detail, "rate-limited", headers={"Retry-After": f"{seconds}"}
        )


def find_standing(
    services: Services, session: Session, caller: Principal | None, namespace: str
) -> Standing:
    """How a caller stands to a namespace."""
    visibility, role = access_repository.find_standing(
        session, namespace, caller.account_id if caller else None
    )
    return Standing(
        caller,
        namespace=namespace,
        visibility=visibility,
        role=role,
        open_creation=is_creation_open(services),
    )


def is_creation_open(services: Services) -> bool:
    """Whether everybody with a token may make namespaces."""
    return services.settings.namespace_creation is Creators.EVERYONE


def publishing_action(standing: Standing) -> Action:
    """What publishing into a namespace is: the first version makes it.

    Where only operators make namespaces, one that is not there is hidden from all
    others just like a private one.
    """
    if standing.visibility is not None:
        return Action.PUBLISH
    caller = standing.principal
    may_create = standing.open_creation or (caller and caller.operates(None))
    return Action.CREATE if may_create else Action.PUBLISH


def admit(action: Action, standing: Standing, hidden: str) -> Access:
    """Let a request pass if the table allows it.

    Args:
        action: what it is about to do.
        standing: who is about to do it, where.
        hidden: what is said where the namespace is none of the caller's business.

    Raises:
        ProblemError: the refusal.
    """
    decision = decide(action, standing)
    if decision is Decision.ALLOW:
        return Access(standing)
    if decision is Decision.AUTHENTICATE:
        raise not_authenticated(NO_TOKEN)
    caller = standing.principal
    log.info(
        "access_refused",
        action=action,
        namespace=standing.namespace,
        reason=decision,
        principal_id=str(caller.token_id) if caller else None,
    )
    if decision is Decision.HIDE or caller is None:
        raise ProblemError(hidden, "not-found")
    raise ProblemError(reason_for(decision, action, standing, caller), "forbidden")


def reason_for(
    decision: Decision, action: Action, standing: Standing, caller: Principal
) -> str:
    """Why a caller may not, and who can help."""
    rule, where = RULES[action], standing.namespace
    match decision:
        case Decision.LACKS_SCOPE:
            return (
                f"The token {caller.name!r} has scope {caller.scope}; this takes one of"
                f" scope {rule.scope}."
            )
        case Decision.LACKS_REACH:
            return f"The token {caller.name!r} is only for {caller.namespace}."
        case Decision.LACKS_ROLE:
            role = standing.role or "no role"
            return (
                f"The account {caller.account!r} has {role} in {where}; this takes"
                f" {rule.role}, which an owner of {where} can give."
            )
        case _:
            return (
                f"Only operators may do this: {caller.account!r} is none, or its token"
                f" {caller.name!r} is not of scope admin for everything."
            )


def check_guards(routes: Sequence[BaseRoute]) -> dict[tuple[str, str], Action]:
    """Make sure that every route says who may call it.

    Returns:
        What each method of each path is guarded as.

    Raises:
        TypeError: a route has no guard, or more than one.
    """
    actions: dict[tuple[str, str], Action] = {}
    for route in routes:
        found = guards_of(route.dependant) if isinstance(route, APIRoute) else set()
        path = getattr(route, "path", repr(route))
        if len(found) != 1:
            message = f"{path} has {len(found)} guards; every route declares one"
            raise TypeError(message)
        (guard,) = found
        for method in getattr(route, "methods", None) or ():
            actions[method, path] = guard.action
    return actions


def guards_of(dependant: Dependant) -> set[Guard]:
    """The guards among a route's dependencies, and among theirs."""
    return {found for found in walk(dependant) if isinstance(found, Guard)}


def walk(dependant: Dependant) -> Iterator[object]:
    """What is called to serve a route."""
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from walk(dependency)


ANYBODY = Depends(PassGuard())
Browser = Annotated[Access, Depends(CallerGuard(Action.BROWSE))]
NamespaceReader = Annotated[Access, Depends(NamespaceGuard(Action.READ))]
TokenHolder = Annotated[Access, Depends(CallerGuard(Action.IDENTIFY))]
Delegator = Annotated[Access, Depends(CallerGuard(Action.DELEGATE))]
Announcer = Annotated[Access, Depends(CallerGuard(Action.ANNOUNCE))]
Creator = Annotated[Access, Depends(CallerGuard(Action.CREATE))]
Uploader = Annotated[Access, Depends(UploadGuard(Action.PUBLISH))]
Publisher = Annotated[Access, Depends(NamespaceGuard(Action.PUBLISH))]
Attester = Annotated[Access, Depends(NamespaceGuard(Action.ATTEST))]
Manager = Annotated[Access, Depends(NamespaceGuard(Action.MANAGE))]
Operator = Annotated[Access, Depends(CallerGuard(Action.OPERATE))]
Allotter = Annotated[Access, Depends(NamespaceGuard(Action.ALLOT))]
