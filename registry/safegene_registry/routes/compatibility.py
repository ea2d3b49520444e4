"""What fits this model?"""

from fastapi import APIRouter

from safegene_registry import matching
from safegene_registry.guards import Browser
from safegene_registry.schemas import CompatibilityAnswer, CompatibilityQuestion
from safegene_registry.services import ServicesDep

router = APIRouter(prefix="/v1/compatibility", tags=["compatibility"])


@router.post("")
def find_compatible(
    services: ServicesDep, access: Browser, question: CompatibilityQuestion
) -> CompatibilityAnswer:
    """Vectors that fit a model's config, and the nearest that do not, with reasons.

    Only the structure can be judged from a config; the client checks the lineage.
    """
    return matching.answer(services, access.reader, question)
