"""Deprecating versions and vectors, and taking that back."""

from fastapi import APIRouter, status

from safegene_registry.guards import Publisher
from safegene_registry.lifecycle import deprecation
from safegene_registry.lifecycle.schemas import DeprecationRequest
from safegene_registry.routes.responses import problems
from safegene_registry.routes.vectors import VectorDep, VersionParam
from safegene_registry.schemas import Deprecated
from safegene_registry.services import ServicesDep

router = APIRouter(prefix="/v1/vectors", tags=["vectors"])

VECTOR = "/{namespace}/{name}"
PATH = VECTOR + "/deprecation"
VERSION_PATH = VECTOR + "/versions/{version}/deprecation"


@router.put(PATH, responses=problems("not-found"))
def deprecate_vector(
    services: ServicesDep,
    access: Publisher,
    vector: VectorDep,
    wanted: DeprecationRequest,
) -> Deprecated:
    """Say that no version of a vector should be used any more; all work as before."""
    return deprecation.deprecate(services, access.caller, vector, None, wanted)


@router.delete(
    PATH, status_code=status.HTTP_204_NO_CONTENT, responses=problems("not-found")
)
def undeprecate_vector(
    services: ServicesDep, access: Publisher, vector: VectorDep
) -> None:
    """Take that back."""
    deprecation.undeprecate(services, access.caller, vector, None)


@router.put(VERSION_PATH, responses=problems("not-found", "version-purged"))
def deprecate_version(
    services: ServicesDep,
    access: Publisher,
    vector: VectorDep,
    version: VersionParam,
    wanted: DeprecationRequest,
) -> Deprecated:
    """Say that a version should not be used any more; it works as before."""
    return deprecation.deprecate(services, access.caller, vector, version, wanted)


@router.delete(
    VERSION_PATH,
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems("not-found", "version-purged"),
)
def undeprecate_version(
    services: ServicesDep, access: Publisher, vector: VectorDep, version: VersionParam
) -> None:
    """Take that back."""
    deprecation.undeprecate(services, access.caller, vector, version)
