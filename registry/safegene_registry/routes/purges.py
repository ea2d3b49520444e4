"""Removing the bytes of versions for good."""

from fastapi import APIRouter

from safegene_registry.guards import Manager
from safegene_registry.lifecycle import purging
from safegene_registry.lifecycle.schemas import PurgedVersion, PurgeRequest
from safegene_registry.routes.responses import problems
from safegene_registry.routes.vectors import VectorDep, VersionParam
from safegene_registry.services import ServicesDep

router = APIRouter(prefix="/v1/vectors", tags=["vectors"])


PATH = "/{namespace}/{name}/versions/{version}/purge"


@router.post(PATH, responses=problems("not-found"))
def purge_version(
    services: ServicesDep,
    access: Manager,
    vector: VectorDep,
    version: VersionParam,
    wanted: PurgeRequest,
) -> PurgedVersion:
    """Remove a version's bytes for good; a tombstone stays."""
    return purging.purge(services, access, vector, version, wanted)
