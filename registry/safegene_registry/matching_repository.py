"""Statements that look for what fits: vectors of a family, the nearest families.

As in `repositories`, functions take the session of the current transaction and decide
nothing. What each costs does not grow with what is published (`walk_repository`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    Select,
    Subquery,
    bindparam,
    func,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.orm import Session

from safegene_registry.access import Reader
from safegene_registry.access_repository import readable
from safegene_registry.models import ArchitectureRow, File, Head, Version, VersionState
from safegene_registry.search_repository import (
    BY_SIZE,
    Family,
    family_columns,
    has_vectors,
)
from safegene_registry.walk_repository import Place, Walk

NEAREST_WALKED = 1000
"""Families that are looked at, nearest first, for some that have vectors to see."""


@dataclass(frozen=True, slots=True)
class FitFilter:
    """What is asked of vectors beside that they fit; None means anything."""

    namespace: str | None = None
    base_model: str | None = None
    license: str | None = None
    max_rank: int | None = None


class Found(NamedTuple):
    """One version of a vector of a family."""

    fingerprint: str
    vector_id: UUID
    published_at: datetime
    """When the newest of the vector was published."""
    namespace: str
    name: str
    version_id: UUID
    version: str
    digest: str
    base_model_id: str
    base_model_revision: str
    size_bytes: int

    @property
    def key(self) -> tuple[datetime, UUID]:
        """What the vectors of a family are ordered by."""
        return self.published_at, self.vector_id


BY_TIME = (Head.published_at, Head.vector_id)
HEADS = (
    *(Head.fingerprint, Head.vector_id, Head.published_at, Head.version_id),
    *(Head.namespace, Head.name, Head.is_yanked),
    *(Head.base_model_id, Head.license, Head.rank),
)
"""What is asked of a head, or told of it."""


def family_heads(
    session: Session,
    reader: Reader,
    fingerprint: str,
    wanted: FitFilter,
    *,
    place: Place,
    limit: int,
) -> tuple[Sequence[Found], Place | None]:
    """The newest versions of a family's vectors, most recently published first.

    Those of which every version is yanked are left out.

    Returns:
        At most so many, and where to go on; None: that is all.
    """
    walk = family_walk(fingerprint, wanted)
    after = walk.begin(session, place)
    query = fitting(walk.table(HEADS, after), reader, wanted, limit + 1)
    rows = [Found(*row) for row in session.execute(query)]
    page = rows[:limit]
    last = page[-1].key if page else None
    if len(rows) > limit:
        return page, Place(last)
    return page, walk.rest(session, place, after, last)


def first_heads(
    session: Session,
    reader: Reader,
    fingerprints: Sequence[str],
    wanted: FitFilter,
    *,
    limit: int,
) -> Sequence[Found]:
    """The same of several families, at most so many of each, family by family."""
    if not fingerprints:
        return []
    query = first_heads_of(reader, wanted, len(fingerprints), limit)
    values = {f"family_{at}": each for at, each in enumerate(fingerprints)}
    found = [Found(*row) for row in session.execute(query, values)]
    place = {fingerprint: at for at, fingerprint in enumerate(fingerprints)}
    return sorted(found, key=lambda row: place[row.fingerprint])


@lru_cache(maxsize=32)
def first_heads_of(
    reader: Reader, wanted: FitFilter, count: int, limit: int
) -> CompoundSelect[*tuple[Any, ...]]:
    """The statement for so many families; to build it takes longer than to run it."""
    kind = Head.fingerprint.type
    return union_all(
        *(
            select(
                fitting(
                    family_walk(bindparam(f"family_{at}", type_=kind), wanted).table(
                        HEADS, None
                    ),
                    reader,
                    wanted,
                    limit,
                ).subquery()
            )
            for at in range(count)
        )
    )


def family_walk(fingerprint: str | BindParameter[str], wanted: FitFilter) -> Walk:
    """The heads of a family by time; a namespace has fewer, by another index."""
    where = [Head.fingerprint == fingerprint]
    if wanted.namespace is not None:
        where.append(Head.namespace == wanted.namespace)
    return Walk(tuple(where), BY_TIME, descending=True)


def fitting(
    heads: Subquery, reader: Reader, wanted: FitFilter, limit: int
) -> Select[*tuple[Any, ...]]:
    """Those of some heads that the reader may see and the filter wants."""
    query = (
        select(
            heads.c.fingerprint,
            heads.c.vector_id,
            heads.c.published_at,
            heads.c.namespace,
            heads.c.name,
            *VERSION,
        )
        .join(Version, Version.id == heads.c.version_id)
        .where(
            heads.c.is_yanked.is_(False),
            readable(heads.c.namespace, reader, late=True),
        )
    )
    if wanted.base_model is not None:
        query = query.where(heads.c.base_model_id == wanted.base_model)
    if wanted.license is not None:
        query = query.where(heads.c.license == wanted.license)
    if wanted.max_rank is not None:
        query = query.where(heads.c.rank <= wanted.max_rank)
    order = heads.c.published_at.desc(), heads.c.vector_id.desc()
    return query.order_by(*order).limit(limit)


VERSION = (
    Version.id.label("version_id"),
    Version.version,
    Version.digest,
    Version.base_model_id,
    Version.base_model_revision,
    Version.size_bytes,
)


def versions_of(
    session: Session, heads: Iterable[Found]
) -> dict[tuple[UUID, str], list[str]]:
    """All versions that are not yanked of these vectors in these families."""
    key = tuple_(Version.vector_id, Version.fingerprint)
    query = (
        select(Version.vector_id, Version.fingerprint, Version.version)
        .outerjoin(Version.state)
        .where(
            key.in_([(head.vector_id, head.fingerprint) for head in heads]),
            VersionState.yanked_at.is_(None),
        )
    )
    found: dict[tuple[UUID, str], list[str]] = defaultdict(list)
    for row in session.execute(query):
        found[row.vector_id, row.fingerprint].append(row.version)
    return found


def at_versions(
    session: Session, wanted: Sequence[tuple[Found, str]]
) -> Mapping[tuple[UUID, str], Found]:
    """These vectors at other versions than their newest."""
    key = tuple_(Version.vector_id, Version.version)
    heads = {(head.vector_id, version): head for head, version in wanted}
    query = select(Version.vector_id, *VERSION).where(key.in_(list(heads)))
    found = {}
    for row in session.execute(query):
        place = row.vector_id, row.version
        values = {column.key: getattr(row, column.key) for column in VERSION}
        found[place] = heads[place]._replace(**values)
    return found


def file_digests(
    session: Session, version_ids: Iterable[UUID], path: str
) -> dict[UUID, str]:
    """The digest of one file of each of these versions."""
    query = select(File.version_id, File.digest).where(
        File.version_id.in_(list(version_ids)), File.path == path
    )
    return {row.version_id: row.digest for row in session.execute(query)}


def nearest_families(
    session: Session,
    reader: Reader,
    target: Family,
    *,
    namespace: str | None,
    limit: int,
) -> Sequence[Family]:
    """Other families that have vectors to see, those most like the target first.

    Those of its model type come first, and mostly are enough: they alone are ordered.
    """
    found: list[Family] = []
    same = ArchitectureRow.model_type == target.model_type
    for condition in (same, ~same):
        # As columns: PostgreSQL then knows that what it walks is in order already, and
        # looks for vectors only until there are enough families.
        far = (
            func.abs(ArchitectureRow.hidden_size - target.hidden_size).label("wider"),
            func.abs(ArchitectureRow.layers - target.layers).label("deeper"),
        )
        near = (
            select(*BY_SIZE, *far)
            .where(condition, ArchitectureRow.fingerprint != target.fingerprint)
            .order_by(*far, ArchitectureRow.fingerprint)
            .limit(NEAREST_WALKED)
            .subquery("walked")
        )
        query = (
            select(*family_columns(near))
            .where(has_vectors(near, reader, namespace))
            .order_by(near.c.wider, near.c.deeper, near.c.fingerprint)
            .limit(limit - len(found))
        )
        found.extend(Family(*row) for row in session.execute(query))
        if len(found) >= limit:
            break
    return found


def sees_family(session: Session, reader: Reader, fingerprint: str) -> bool:
    """Whether the reader sees a vector among those of a family published last."""
    family = (
        select(ArchitectureRow.fingerprint)
        .where(ArchitectureRow.fingerprint == fingerprint)
        .subquery("family")
    )
    query = select(family).where(has_vectors(family, reader, None))
    return session.execute(query).first() is not None


def documents(session: Session, fingerprints: Iterable[str]) -> dict[str, str]:
    """The whole structures of these families, as JSON."""
    query = select(ArchitectureRow.fingerprint, ArchitectureRow.document).where(
        ArchitectureRow.fingerprint.in_(list(fingerprints))
    )
    return {row.fingerprint: row.document for row in session.execute(query)}
