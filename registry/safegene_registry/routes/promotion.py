"""Promotion policies of namespaces, and approvals of versions."""

from typing import Annotated

from fastapi import APIRouter, Path, status

from safegene_registry.guards import (
    Manager,
    NamespacePath,
    NamespaceReader,
    Publisher,
)
from safegene_registry.promotion import approvals, policies
from safegene_registry.promotion.schemas import (
    ApprovalDetail,
    ApprovalPage,
    ApprovalRequest,
    PolicyChange,
    PolicyDetail,
    PolicyPage,
)
from safegene_registry.routes.paging import LINKED, PageDep
from safegene_registry.routes.responses import problems
from safegene_registry.routes.vectors import VectorDep, VersionParam
from safegene_registry.services import ServicesDep

router = APIRouter(prefix="/v1", tags=["promotion"])

POLICY = "/namespaces/{namespace}/policy"
APPROVALS = "/vectors/{namespace}/{name}/versions/{version}/approvals"


@router.get(POLICY)
def get_policy(
    services: ServicesDep, access: NamespaceReader, namespace: NamespacePath
) -> PolicyDetail:
    """What moving aliases of the namespace's vectors demands."""
    return policies.find(services, access, namespace)


@router.put(POLICY, responses=problems("not-found", "policy-changed"))
def set_policy(
    services: ServicesDep,
    access: Manager,
    namespace: NamespacePath,
    wanted: PolicyChange,
) -> PolicyDetail:
    """Demand something else from now on, if the policy is the expected one."""
    return policies.set_policy(services, access, namespace, wanted)


@router.get(POLICY + "/history", responses=LINKED)
def list_policies(
    services: ServicesDep,
    access: NamespaceReader,
    namespace: NamespacePath,
    page: PageDep,
) -> PolicyPage:
    """What moving aliases demanded, the last policy first."""
    found = policies.history(
        services, access, namespace, limit=page.limit, cursor=page.cursor
    )
    page.link(found.next_cursor)
    return found


@router.get(APPROVALS, responses={**LINKED, **problems("not-found", "version-purged")})
def list_approvals(
    services: ServicesDep,
    _access: Publisher,
    vector: VectorDep,
    version: VersionParam,
    page: PageDep,
) -> ApprovalPage:
    """Who approves a version for which alias; for members who may publish."""
    found = approvals.list_page(
        services, vector, version, limit=page.limit, cursor=page.cursor
    )
    page.link(found.next_cursor)
    return found


@router.post(
    APPROVALS,
    responses=problems("not-found", "forbidden", "version-yanked", "version-purged"),
)
def approve_version(
    services: ServicesDep,
    access: Publisher,
    vector: VectorDep,
    version: VersionParam,
    wanted: ApprovalRequest,
) -> ApprovalDetail:
    """Want a version to be what an alias points at; not for who published it."""
    return approvals.approve(services, access, vector, version, wanted.alias)


@router.delete(
    APPROVALS + "/{alias}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems("not-found", "version-purged"),
)
def withdraw_approval(
    services: ServicesDep,
    access: Publisher,
    vector: VectorDep,
    version: VersionParam,
    alias: Annotated[str, Path(max_length=64)],
) -> None:
    """Take one's own approval back; where the alias points stays."""
    approvals.withdraw(services, access, vector, version, alias)
