"""Namespaces and their members."""

from typing import Annotated

from fastapi import APIRouter, Path, status
from sqlalchemy.orm import Session

from safegene_registry import (
    access_repository,
    membership,
    reservation_repository,
    tokens,
)
from safegene_registry.access_schemas import (
    MemberDetail,
    MemberPage,
    NamespaceDetail,
    NamespacePage,
    NamespaceRequest,
    NamespaceSummary,
    QuotaChange,
    RoleChange,
    VisibilityChange,
)
from safegene_registry.guards import (
    Allotter,
    Browser,
    Creator,
    Manager,
    NamespacePath,
    NamespaceReader,
)
from safegene_registry.models import Account, Namespace
from safegene_registry.routes.paging import LINKED, PageDep
from safegene_registry.routes.responses import problems
from safegene_registry.services import Services, ServicesDep

router = APIRouter(prefix="/v1/namespaces", tags=["namespaces"])

MEMBER_PATTERN = r"^[ -.0-~]+$"
"""Printable ASCII without a slash."""

MemberPath = Annotated[str, Path(max_length=128, pattern=MEMBER_PATTERN)]


@router.get("", responses=LINKED)
def list_namespaces(
    services: ServicesDep, access: Browser, page: PageDep
) -> NamespacePage:
    """Namespaces that the caller may read."""
    with services.database.reading() as session:
        found = access_repository.list_namespaces(
            session, access.reader, after=page.after, limit=page.probe
        )
        items = [namespace_summary(namespace) for namespace in found[: page.limit]]
    following = page.next(found, lambda namespace: namespace.name)
    return NamespacePage(items=items, next_cursor=following)


@router.post("", status_code=status.HTTP_201_CREATED, responses=problems("name-taken"))
def create_namespace(
    services: ServicesDep, access: Creator, wanted: NamespaceRequest
) -> NamespaceDetail:
    """Make a namespace; the caller's account owns it."""
    caller = access.caller
    with services.database.writing() as session:
        namespace = membership.create_namespace(
            session,
            wanted.name,
            owner=tokens.find_account(session, caller.account),
            visibility=wanted.visibility,
            quota_bytes=services.settings.namespace_quota_bytes,
            by=str(caller.token_id),
        )
        return namespace_detail(services, session, namespace)


@router.get("/{namespace}")
def get_namespace(
    services: ServicesDep, _access: NamespaceReader, namespace: NamespacePath
) -> NamespaceDetail:
    """Who may read a namespace, and how full it is."""
    with services.database.reading() as session:
        found = membership.find_namespace(session, namespace)
        return namespace_detail(services, session, found)


@router.patch("/{namespace}")
def set_visibility(
    services: ServicesDep,
    access: Manager,
    namespace: NamespacePath,
    change: VisibilityChange,
) -> NamespaceDetail:
    """Let everybody read a namespace from now on, or only its members."""
    with services.database.writing() as session:
        changed = membership.set_visibility(
            session, namespace, change.visibility, by=str(access.caller.token_id)
        )
        return namespace_detail(services, session, changed)


@router.put("/{namespace}/quota", responses=problems("not-found"))
def set_quota(
    services: ServicesDep,
    access: Allotter,
    namespace: NamespacePath,
    change: QuotaChange,
) -> NamespaceDetail:
    """Change how much a namespace may hold; only operators may."""
    with services.database.writing() as session:
        changed = membership.set_quota(
            session, namespace, change.quota_bytes, by=str(access.caller.token_id)
        )
        return namespace_detail(services, session, changed)


@router.get("/{namespace}/members", responses=LINKED)
def list_members(
    services: ServicesDep, _access: Manager, namespace: NamespacePath, page: PageDep
) -> MemberPage:
    """Who may do what in a namespace."""
    with services.database.reading() as session:
        found = access_repository.list_members(
            session, namespace, after=page.after, limit=page.probe
        )
        items = [
            member_detail(account, row.role) for row, account in found[: page.limit]
        ]
    following = page.next(found, lambda row: row[1].name)
    return MemberPage(items=items, next_cursor=following)


@router.put("/{namespace}/members/{account}", responses=problems("owner-required"))
def set_member(
    services: ServicesDep,
    access: Manager,
    namespace: NamespacePath,
    account: MemberPath,
    change: RoleChange,
) -> MemberDetail:
    """Make an account a member, or give a member another role."""
    with services.database.writing() as session:
        found = membership.set_member(
            session, namespace, account, change.role, by=str(access.caller.token_id)
        )
        return member_detail(found, change.role)


@router.delete(
    "/{namespace}/members/{account}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems("owner-required"),
)
def remove_member(
    services: ServicesDep,
    access: Manager,
    namespace: NamespacePath,
    account: MemberPath,
) -> None:
    """End a membership: all tokens of the account are strangers here from now on."""
    with services.database.writing() as session:
        membership.remove_member(
            session, namespace, account, by=str(access.caller.token_id)
        )


def namespace_summary(namespace: Namespace) -> NamespaceSummary:
    """A namespace as lists show it."""
    return NamespaceSummary.model_validate(
        {
            "name": namespace.name,
            "visibility": namespace.visibility,
            "created_at": namespace.created_at,
        }
    )


def namespace_detail(
    services: Services, session: Session, namespace: Namespace
) -> NamespaceDetail:
    """A namespace as the interface shows it."""
    return NamespaceDetail(
        **namespace_summary(namespace).model_dump(),
        quota_bytes=namespace.quota_bytes,
        used_bytes=access_repository.used_bytes(session, namespace.name),
        reserved_bytes=reservation_repository.reserved_bytes(
            session, namespace.name, now=services.now()
        ),
    )


def member_detail(account: Account, role: str) -> MemberDetail:
    """A member as the interface shows it."""
    return MemberDetail.model_validate(
        {"account": account.name, "kind": account.kind, "role": role}
    )
