"""Advisories on vectors."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response, status

from safegene_registry.conditional import tagged_response
from safegene_registry.guards import Manager, NamespaceReader
from safegene_registry.lifecycle import advisories
from safegene_registry.lifecycle.schemas import (
    AdvisoryDetail,
    AdvisoryPage,
    AdvisoryRequest,
    WithdrawalRequest,
)
from safegene_registry.routes.paging import LINKED, PageDep
from safegene_registry.routes.responses import TAGGED, problems
from safegene_registry.routes.vectors import VectorDep
from safegene_registry.services import ServicesDep

router = APIRouter(prefix="/v1/vectors", tags=["advisories"])

PATH = "/{namespace}/{name}/advisories"

NumberPath = Annotated[int, Path(ge=1, lt=2**31)]


@router.get(PATH, responses={**LINKED, **problems("not-found")})
def list_advisories(
    services: ServicesDep,
    _access: NamespaceReader,
    vector: VectorDep,
    page: PageDep,
    version: Annotated[
        str | None,
        Query(max_length=128, description="only those that stand and concern it"),
    ] = None,
) -> AdvisoryPage:
    """What is known to be wrong with versions of a vector, the last one first."""
    found = advisories.list_page(
        services, vector, version=version, limit=page.limit, cursor=page.cursor
    )
    page.link(found.next_cursor)
    return found


@router.post(PATH, status_code=status.HTTP_201_CREATED, responses=problems("not-found"))
def publish_advisory(
    services: ServicesDep,
    access: Manager,
    vector: VectorDep,
    wanted: AdvisoryRequest,
) -> AdvisoryDetail:
    """Tell everybody who asks for versions in a range what is wrong with them."""
    return advisories.publish(services, access.caller, vector, wanted)


@router.get(
    PATH + "/{number}",
    response_model=AdvisoryDetail,
    responses={**TAGGED, **problems("not-found")},
)
def get_advisory(
    request: Request,
    services: ServicesDep,
    access: NamespaceReader,
    vector: VectorDep,
    number: NumberPath,
) -> Response:
    """One advisory, withdrawn or not."""
    found = advisories.find(services, vector, number)
    return tagged_response(request, found, is_public=access.is_public)


@router.put(PATH + "/{number}/withdrawal", responses=problems("not-found"))
def withdraw_advisory(
    services: ServicesDep,
    access: Manager,
    vector: VectorDep,
    number: NumberPath,
    wanted: WithdrawalRequest,
) -> AdvisoryDetail:
    """Say that an advisory does not stand; it stays in the list."""
    return advisories.withdraw(services, access.caller, vector, number, wanted.reason)
