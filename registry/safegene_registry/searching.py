"""Reading: lists of vectors by facts, and of families."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any
from uuid import UUID

from safegene_registry import search_repository, summary_repository
from safegene_registry.access import Reader
from safegene_registry.catalog import summaries, summary
from safegene_registry.conditional import Tagged, tagged
from safegene_registry.pages import (
    decode_place,
    encode_place,
    j_key,
    name_key,
    size_key,
)
from safegene_registry.schemas import ArchitecturePage, ArchitectureSummary, VectorPage
from safegene_registry.search_repository import Order, SearchFilter
from safegene_registry.services import Services
from safegene_registry.summary_repository import FoundRow, HeadRow
from safegene_registry.walk_repository import Place

KEYS: dict[Order, tuple[int, Callable[[list[str]], tuple[Any, ...]]]] = {
    Order.NAME: (2, name_key),
    Order.J: (3, j_key),
}
"""How many parts the keys of each order have, and what makes one of them."""


def search(
    services: Services,
    reader: Reader,
    wanted: SearchFilter,
    *,
    limit: int,
    cursor: str | None,
) -> VectorPage:
    """One page of vectors whose newest version matches, by name or the best first.

    It may be short of `limit`, and even empty, with others behind it.

    Args:
        services: the process's parts.
        reader: whose eyes they are seen with.
        wanted: what must hold of them.
        limit: at most so many.
        cursor: of the page before; None: the first page.
    """
    parts, key = KEYS[wanted.order]
    place = decode_place(cursor, parts, key)
    with services.database.reading() as session:
        page, rest = search_repository.search_vectors(
            session, reader, wanted, place=place, limit=limit
        )
        items = summaries(session, page)
    following = None if rest is None else encode_place(rest, parts)
    return VectorPage(items=items, next_cursor=following)


def search_public(
    services: Services, wanted: SearchFilter, limit: int
) -> tuple[Tagged, str | None] | None:
    """The first page of what everybody may see, in one statement.

    Args:
        services: the process's parts.
        wanted: what must hold.
        limit: at most so many.

    Returns:
        The page written out, and where the next one begins. None: `search` has to look
        further for an answer.
    """
    found = summary_repository.first_page(services.database, wanted, limit + 1)
    return None if found is None else first_page(tuple(found), limit)


@lru_cache(maxsize=1024)
def first_page(found: tuple[FoundRow, ...], limit: int) -> tuple[Tagged, str | None]:
    """A page from the heads of vectors that were found."""
    matches = list(dict.fromkeys((row.vector_id, row.matched) for row in found))
    shown = dict.fromkeys(vector for vector, _ in matches[:limit])
    heads: dict[UUID, dict[HeadRow, None]] = {vector: {} for vector in shown}
    for row in found:
        if row.vector_id in heads:
            # Once for each family that it was found for.
            heads[row.vector_id][row.head] = None
    items = [summary(list(of_one)) for of_one in heads.values()]
    cursor = None
    if len(matches) > limit:
        cursor = encode_place(Place((items[-1].namespace, items[-1].name)), 2)
    return tagged(VectorPage(items=items, next_cursor=cursor)), cursor


def list_architectures(
    services: Services,
    reader: Reader,
    model_type: str | None,
    *,
    limit: int,
    cursor: str | None,
) -> ArchitecturePage:
    """One page of families that the reader sees vectors of."""
    place = decode_place(cursor, 4, size_key)
    with services.database.reading() as session:
        page, rest = search_repository.list_families(
            session, reader, model_type=model_type, place=place, limit=limit
        )
    return ArchitecturePage(
        items=[ArchitectureSummary(**family._asdict()) for family in page],
        next_cursor=None if rest is None else encode_place(rest, 4),
    )
