"""Which families of models there is anything for?"""

from fastapi import APIRouter, Request, Response

from safegene_registry import searching
from safegene_registry.conditional import tagged_list
from safegene_registry.guards import Browser
from safegene_registry.routes.paging import TAGGED_LIST, PageDep, link_next
from safegene_registry.routes.searches import FamilyParam
from safegene_registry.schemas import ArchitecturePage
from safegene_registry.services import ServicesDep

router = APIRouter(prefix="/v1/architectures", tags=["compatibility"])


@router.get("", response_model=ArchitecturePage, responses=TAGGED_LIST)
def list_architectures(
    request: Request,
    services: ServicesDep,
    access: Browser,
    page: PageDep,
    family: FamilyParam = None,
) -> Response:
    """Base models' structures that vectors were published for.

    Sorted by model type, width and number of layers. The fingerprint is what
    `GET /v1/compatibility` takes. A page may be short, as of vectors.
    """
    found = searching.list_architectures(
        services, access.reader, family, limit=page.limit, cursor=page.cursor
    )
    answer = tagged_list(request, found, reader=access.reader)
    link_next(request, answer, found.next_cursor)
    return answer
