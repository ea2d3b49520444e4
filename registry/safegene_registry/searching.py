"""Reading: lists of vectors by facts, and of families."""

from safegene_registry import search_repository
from safegene_registry.access import Reader
from safegene_registry.catalog import summaries
from safegene_registry.pages import decode_place, encode_place, name_key, size_key
from safegene_registry.schemas import ArchitecturePage, ArchitectureSummary, VectorPage
from safegene_registry.search_repository import SearchFilter
from safegene_registry.services import Services


def search(
    services: Services,
    reader: Reader,
    wanted: SearchFilter,
    *,
    limit: int,
    cursor: str | None,
) -> VectorPage:
    """One page of vectors whose newest version matches, by name.

    It may be short of `limit`, and even empty, with others behind it.

    Args:
        services: the process's parts.
        reader: whose eyes they are seen with.
        wanted: what must hold of them.
        limit: at most so many.
        cursor: of the page before; None: the first page.
    """
    place = decode_place(cursor, 2, name_key)
    with services.database.reading() as session:
        page, rest = search_repository.search_vectors(
            session, reader, wanted, place=place, limit=limit
        )
        items = summaries(session, page)
    following = None if rest is None else encode_place(rest, 2)
    return VectorPage(items=items, next_cursor=following)


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
