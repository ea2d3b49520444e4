"""Yanking versions, and taking that back."""

from fastapi import APIRouter

from safegene_registry.guards import Publisher
from safegene_registry.lifecycle import yanking
from safegene_registry.lifecycle.schemas import YankedVersion
from safegene_registry.routes.responses import problems
from safegene_registry.routes.vectors import VectorDep, VersionParam
from safegene_registry.schemas import YankRequest
from safegene_registry.services import ServicesDep

router = APIRouter(prefix="/v1/vectors", tags=["vectors"])

PATH = "/{namespace}/{name}/versions/{version}/yank"


@router.put(PATH, responses=problems("not-found", "version-purged"))
def yank_version(
    services: ServicesDep,
    access: Publisher,
    vector: VectorDep,
    version: VersionParam,
    wanted: YankRequest,
) -> YankedVersion:
    """Hide a version from resolution; who names it gets it still, with the reason."""
    return yanking.yank(services, access.caller, vector, version, wanted.reason)


@router.delete(PATH, responses=problems("not-found", "version-purged"))
def unyank_version(
    services: ServicesDep, access: Publisher, vector: VectorDep, version: VersionParam
) -> YankedVersion:
    """Let a version be resolved again."""
    return yanking.unyank(services, access.caller, vector, version)
