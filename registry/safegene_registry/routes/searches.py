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

from safegene.artifact.attestation.predicates import MAX_ANSWERS
from safegene.artifact.configsizes import MAX_LAYERS, MAX_WIDTH
from safegene_registry import searching
from safegene_registry.access import Reader
from safegene_registry.conditional import tagged_list
from safegene_registry.routes.paging import DEFAULT_LIMIT, LimitParam, link_next
from safegene_registry.search_repository import Order, SearchFilter
from safegene_registry.services import Services

DigestParam = Annotated[str, Query(pattern=r"^sha256:[0-9a-f]{64}$")]
FamilyParam = Annotated[
    str | None, Query(max_length=64, description="`model_type` as in a config.json")
]
SamplesParam = Annotated[
    int | None,
    Query(ge=1, le=MAX_ANSWERS, description="answers behind it, at least"),
]
UpperEndParam = Annotated[
    float | None,
    Query(gt=0, lt=1, description="upper end of its 95 % interval, at most"),
]
LowerEndParam = Annotated[
    float | None,
    Query(gt=-1, lt=1, description="lower end of its 95 % interval, at least"),
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
    against: Annotated[
        str | None,
        Query(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
            description="harmless set of prompts of an evaluation that counts",
        ),
    ] = None,
    signed: Annotated[
        bool, Query(description="whether a trusted key has to have signed it")
    ] = False,
    harmful_samples: SamplesParam = None,
    harmless_samples: SamplesParam = None,
    harm_at_most: UpperEndParam = None,
    over_refusal_at_most: UpperEndParam = None,
    j_at_least: LowerEndParam = None,
    sort: Annotated[
        Order,
        Query(description="by name, or the best J that counts first (its lower end)"),
    ] = Order.NAME,
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
        against=against,
        signed=signed or None,
        harmful_samples=harmful_samples,
        harmless_samples=harmless_samples,
        harm_at_most=harm_at_most,
        over_refusal_at_most=over_refusal_at_most,
        j_at_least=j_at_least,
        order=sort,
    )


check_filter = validate_call(search_filter)
check_limit = TypeAdapter[int](LimitParam).validate_python


@lru_cache(maxsize=1024)
def asked_search(query: bytes) -> tuple[SearchFilter, int] | None:
    """What a query string asks for, and of how many; None: that is for the route.

    As another order than by name is.
    """
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    given: dict[str, Any] = dict(pairs)
    if len(given) < len(pairs) or "cursor" in given:
        return None
    try:
        limit = check_limit(given.pop("limit", DEFAULT_LIMIT))
        wanted = check_filter(**given)
    except ValidationError:
        return None
    return (wanted, limit) if wanted.order is Order.NAME else None


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
