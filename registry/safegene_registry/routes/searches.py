"""What a search for vectors may ask, and the shorter way to answer one.

Most searches are of what is public, by callers without a token, and for the first page.
Those take one statement and no more of the framework than `public_reads` does. Whatever
differs in any way is left to the route.
"""

from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Query, Request, Response
from pydantic import TypeAdapter, ValidationError, validate_call

from safegene.artifact.configsizes import MAX_LAYERS, MAX_WIDTH
from safegene_registry import searching
from safegene_registry.access import Reader
from safegene_registry.conditional import tagged_list
from safegene_registry.routes.paging import DEFAULT_LIMIT, LimitParam, link_next
from safegene_registry.search_repository import SearchFilter
from safegene_registry.services import Services

DigestParam = Annotated[str, Query(pattern=r"^sha256:[0-9a-f]{64}$")]
FamilyParam = Annotated[
    str | None, Query(max_length=64, description="`model_type` as in a config.json")
]


def search_filter(
    *,
    query: Annotated[str, Query(max_length=200)] = "",
    namespace: Annotated[str | None, Query(max_length=64)] = None,
    fingerprint: DigestParam | None = None,
    base_model: Annotated[str | None, Query(max_length=256)] = None,
    family: FamilyParam = None,
    layers: Annotated[int | None, Query(ge=1, le=MAX_LAYERS)] = None,
    licence: Annotated[str | None, Query(alias="license", max_length=256)] = None,
    rank: Annotated[int | None, Query(ge=1, le=MAX_WIDTH)] = None,
) -> SearchFilter:
    """What a search asks for."""
    return SearchFilter(
        text=query or None,
        namespace=namespace,
        fingerprint=fingerprint,
        base_model=base_model,
        model_type=family,
        layers=layers,
        license=licence,
        rank=rank,
    )


check_filter = validate_call(search_filter)
check_limit = TypeAdapter[int](LimitParam).validate_python


@lru_cache(maxsize=1024)
def asked_search(query: bytes) -> tuple[SearchFilter, int] | None:
    """What a query string asks for, and of how many; None: that is for the route."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    given: dict[str, Any] = dict(pairs)
    if len(given) < len(pairs) or "cursor" in given:
        return None
    try:
        limit = check_limit(given.pop("limit", DEFAULT_LIMIT))
        return check_filter(**given), limit
    except ValidationError:
        return None


def read_search(request: Request, services: Services) -> Response | None:
    """The first page of what everybody may see."""
    asked = asked_search(request.scope["query_string"])
    if asked is None:
        return None
    found = searching.search_public(services, *asked)
    if found is None:
        return None
    text, cursor = found
    answer = tagged_list(request, text, reader=Reader())
    link_next(request, answer, cursor)
    return answer
