"""Statements for what a list says of vectors.

They give columns: lists are read often, and objects cost more than the database does.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from safegene_registry.access import Reader
from safegene_registry.attestations.figures import EVALUATION
from safegene_registry.db import Database
from safegene_registry.lookups import Lookup
from safegene_registry.models import ArchitectureRow, Attestation, Head, Version
from safegene_registry.search_repository import (
    SearchFilter,
    Shape,
    bound_filter,
    vectors_query,
    walk_of,
)


class HeadRow(NamedTuple):
    """A vector by the newest version within one family."""

    vector_id: UUID
    namespace: str
    name: str
    is_yanked: bool
    version_count: int
    version: str
    digest: str
    description: str
    license: str
    base_model_id: str
    base_model_revision: str
    rank: int
    fingerprint: str
    model_type: str
    layers: int
    hidden_size: int
    evaluation_digest: str | None
    set_name: str | None
    harmful_samples: int | None
    harmless_samples: int | None
    harm_value: float | None
    harm_low: float | None
    harm_high: float | None
    j_value: float | None
    j_low: float | None
    j_high: float | None
    over_refusal_value: float | None
    over_refusal_low: float | None
    over_refusal_high: float | None


COLUMNS = (
    *(Head.vector_id, Head.namespace, Head.name, Head.is_yanked, Head.version_count),
    *(Version.version, Version.digest, Version.description, Version.license),
    *(Version.base_model_id, Version.base_model_revision, Version.rank),
    *(ArchitectureRow.fingerprint, ArchitectureRow.model_type),
    *(ArchitectureRow.layers, ArchitectureRow.hidden_size),
    Attestation.digest.label("evaluation_digest"),
    *EVALUATION,
)


def with_details(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Join what `COLUMNS` takes to heads."""
    return (
        query.join(Version, Version.id == Head.version_id)
        .join(ArchitectureRow, ArchitectureRow.fingerprint == Head.fingerprint)
        .outerjoin(Attestation, Attestation.id == Head.evaluation_id)
    )


HEADS_OF = with_details(select(*COLUMNS).select_from(Head)).where(
    Head.vector_id.in_(bindparam("vector_ids", expanding=True))
)


def heads_of(session: Session, vector_ids: Sequence[UUID]) -> list[HeadRow]:
    """The heads of these vectors, one per family each."""
    rows = session.execute(HEADS_OF, {"vector_ids": list(vector_ids)})
    return [HeadRow._make(row) for row in rows]


# A page of what everybody may read, in one statement


class FoundRow(NamedTuple):
    """A head of a vector that was found, and for which family it was."""

    vector_id: UUID
    matched: str
    head: HeadRow


def first_page(
    database: Database, wanted: SearchFilter, limit: int
) -> list[FoundRow] | None:
    """What everybody may see of the first vectors that match, ordered by name.

    Args:
        database: of the registry.
        wanted: what must hold.
        limit: at most so many matches.

    Returns:
        None: there is more to be looked through than the first walk did.
    """
    found = database.look_up(page_lookup(wanted.shape), wanted.values(limit))
    if len({(row.vector_id, row.matched) for row in found}) == limit:
        return found
    more = database.look_up(beyond_lookup(wanted.shape), wanted.values(1))
    return None if more else found


@lru_cache(maxsize=64)
def page_lookup(shape: Shape) -> Lookup[FoundRow]:
    """The statement of the first page of a search."""
    page = vectors_query(Reader(), shape, behind=False).subquery("page")
    query = (
        select(page.c.vector_id, page.c.fingerprint.label("matched"), *COLUMNS)
        .select_from(page)
        .join(Head, Head.vector_id == page.c.vector_id)
    )
    ordered = with_details(query).order_by(page.c.namespace, page.c.name)

    def found(row: Iterable[Any]) -> FoundRow:
        vector_id, matched, *head = row
        return FoundRow(vector_id, matched, HeadRow._make(head))

    return Lookup(ordered, found)


@lru_cache(maxsize=64)
def beyond_lookup(shape: Shape) -> Lookup[tuple[Any, ...]]:
    """The statement that tells whether the first walk left anything behind it."""
    return Lookup(walk_of(bound_filter(shape)).beyond(None), tuple)
