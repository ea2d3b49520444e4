"""What fits this model, this family, or each model of a fleet?"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from safegene_registry import fleets, matching
from safegene_registry.compatibility_schemas import (
    CompatibilityAnswer,
    CompatibilityQuestion,
    FamilyQuestion,
    FleetAnswer,
    FleetQuestion,
)
from safegene_registry.conditional import tagged_list
from safegene_registry.guards import Browser
from safegene_registry.routes.paging import TAGGED_LIST, link_next
from safegene_registry.services import ServicesDep

router = APIRouter(prefix="/v1/compatibility", tags=["compatibility"])


@router.post("")
def find_compatible(
    services: ServicesDep, access: Browser, question: CompatibilityQuestion
) -> CompatibilityAnswer:
    """Vectors that fit a model's config, and the nearest that do not, with reasons.

    Only the structure can be judged from a config; with a lineage sketch the descent is
    judged as well. The client checks both again before anything is applied.
    """
    return matching.answer(services, access.reader, question)


@router.post("/fleet")
def find_compatible_with_each(
    services: ServicesDep, access: Browser, question: FleetQuestion
) -> FleetAnswer:
    """Vectors that fit each of up to 1000 configs; equal configs have one answer."""
    return fleets.answer(services, access.reader, question)


@router.get("", response_model=CompatibilityAnswer, responses=TAGGED_LIST)
def list_compatible(
    request: Request,
    services: ServicesDep,
    access: Browser,
    question: Annotated[FamilyQuestion, Query()],
) -> Response:
    """Vectors made for one family, by its fingerprint, and the nearest of others.

    What nothing was published for is not known here by its fingerprint.
    """
    found = matching.answer_family(services, access.reader, question)
    answer = tagged_list(request, found, reader=access.reader)
    link_next(request, answer, found.next_cursor)
    return answer
