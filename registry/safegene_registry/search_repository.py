"""Statements that look for vectors and families by facts, and list them in order.

As in `repositories`, functions take the session of the current transaction and decide
nothing. What each costs does not grow with what is published (`walk_repository`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Subquery,
    bindparam,
    literal_column,
    select,
)
from sqlalchemy.orm import Session

from safegene_registry.access import Reader
from safegene_registry.access_repository import readable
from safegene_registry.attestations.standing_repository import ASKED, shown_by_one
from safegene_registry.models import ArchitectureRow, Head, Version
from safegene_registry.walk_repository import Place, Walk


class Order(Enum):
    """How a search lists what it finds."""

    NAME = "name"
    J = "j"
    """By the best evaluation that counts: the highest lower end of its J first."""


FAMILY_WALKED = 100
"""Vectors of one family that are looked at to find out whether there is any to see."""


class Shape(NamedTuple):
    """What the statement of a search is built from; values are told to it."""

    text: str | None
    """That it looks for."""
    facts: tuple[str, ...]
    """That it asks for, by name."""
    order: Order


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """What a search asks of a vector's newest version; None means anything."""

    text: str | None = None
    namespace: str | None = None
    fingerprint: str | None = None
    base_model: str | None = None
    model_type: str | None = None
    layers: int | None = None
    license: str | None = None
    rank: int | None = None
    against: str | None = None
    """Of an evaluation that counts, as all that follows: its harmless set."""
    signed: bool | None = None
    """Whether it has to bear the signature of a trusted key."""
    harmful_samples: int | None = None
    harmless_samples: int | None = None
    harm_at_most: float | None = None
    """The upper end of its interval, as of over-refusal."""
    over_refusal_at_most: float | None = None
    j_at_least: float | None = None
    """The lower end of its interval."""
    order: Order = Order.NAME

    @property
    def shape(self) -> Shape:
        """What the statement is built from."""
        facts = ("namespace", *(fact for fact, _ in FACTS), *ASKED)
        asked = tuple(at for at in facts if getattr(self, at) is not None)
        return Shape(self.text, asked, self.order)

    @property
    def asked(self) -> dict[str, Any]:
        """What one evaluation has to show."""
        known = {name: getattr(self, name) for name in ASKED}
        return {name: value for name, value in known.items() if value is not None}

    @property
    def needs_evaluation(self) -> bool:
        """Whether vectors without any that counts are left out."""
        return bool(self.asked) or self.order is Order.J

    def values(self, limit: int) -> dict[str, Any]:
        """What the statement of this shape is told: the facts, and how many rows."""
        told = {f"wanted_{fact}": getattr(self, fact) for fact in self.shape.facts}
        return {**told, "wanted_rows": limit}


class Listed(NamedTuple):
    """A vector, by name."""

    id: UUID
    namespace: str
    name: str


class Family(NamedTuple):
    """What a list says of an architecture."""

    fingerprint: str
    model_type: str
    hidden_size: int
    layers: int


BY_NAME = (Head.namespace, Head.name)
BY_J = (Head.j_low, Head.namespace, Head.name)
ORDERS = {Order.NAME: BY_NAME, Order.J: BY_J}
BY_SIZE = (
    ArchitectureRow.model_type,
    ArchitectureRow.hidden_size,
    ArchitectureRow.layers,
    ArchitectureRow.fingerprint,
)

HEADS = (
    *(Head.vector_id, Head.version_id, Head.namespace, Head.name, Head.is_yanked),
    *(Head.fingerprint, Head.base_model_id, Head.layers, Head.rank),
    *(Head.model_type, Head.license, Head.j_low),
)
"""What is asked of a head, or told of it."""

FACTS = (
    ("fingerprint", Head.fingerprint),
    ("base_model", Head.base_model_id),
    ("layers", Head.layers),
    ("rank", Head.rank),
    ("model_type", Head.model_type),
    ("license", Head.license),
)
"""What has an index by name, those that leave fewest first."""


# Vectors by name


def search_vectors(
    session: Session,
    reader: Reader,
    wanted: SearchFilter,
    *,
    place: Place,
    limit: int,
) -> tuple[Sequence[Listed], Place | None]:
    """Vectors whose newest version matches, in order, behind the page before.

    Those of which every version is yanked are left out. Text matches anywhere in
    namespace, name or description, whatever the case.

    Returns:
        At most so many, and where to go on; None: that is all.
    """
    walk = walk_of(wanted)
    after = walk.begin(session, place)
    query = vectors_query(reader, wanted.shape, behind=after is not None)
    values = named(wanted.order, after) | wanted.values(limit + 1)
    rows = session.execute(query, values).all()
    # A vector of several families comes once for each; by name, side by side.
    page = list(
        dict.fromkeys(
            Listed(row.vector_id, row.namespace, row.name) for row in rows[:limit]
        )
    )
    last = key_of(rows[:limit][-1], wanted.order) if rows else None
    if len(rows) > limit:
        return page, Place(last)
    return page, walk.rest(session, place, after, last)


def key_of(row: Row[*tuple[Any, ...]], order: Order) -> tuple[Any, ...]:
    """What a vector that was found is ordered by."""
    return tuple(getattr(row, column.key) for column in ORDERS[order])


def walk_of(wanted: SearchFilter) -> Walk:
    """The walk of a search: of the first fact that it asks for, which has an index.

    Of those with an evaluation there are few, in indexes of their own.
    """
    leading: list[ColumnElement[bool]]
    if wanted.order is Order.J:
        leading = [Head.j_low.is_not(None)]
        if wanted.fingerprint is not None:
            leading.append(Head.fingerprint == wanted.fingerprint)
        return Walk(tuple(leading), BY_J, descending=True)
    if wanted.needs_evaluation:
        leading = [Head.j_low.is_not(None)]
    else:
        leading = [
            column == getattr(wanted, fact)
            for fact, column in FACTS
            if getattr(wanted, fact) is not None
        ][:1]
    if wanted.namespace is not None:
        leading.append(Head.namespace == wanted.namespace)
    return Walk(tuple(leading), BY_NAME)


AFTER = {
    order: tuple(
        bindparam(f"after_{column.key}", type_=column.type) for column in columns
    )
    for order, columns in ORDERS.items()
}
"""The key behind which a page begins."""


def named(order: Order, after: tuple[Any, ...] | None) -> dict[str, Any]:
    """The values of those."""
    if after is None:
        return {}
    columns = ORDERS[order]
    return {f"after_{key.key}": at for key, at in zip(columns, after, strict=True)}


def bound_filter(shape: Shape) -> SearchFilter:
    """A filter whose facts the statement is told when it runs."""
    bound: dict[str, Any] = {fact: bindparam(f"wanted_{fact}") for fact in shape.facts}
    return SearchFilter(text=shape.text, order=shape.order, **bound)


@lru_cache(maxsize=64)
def vectors_query(
    reader: Reader, shape: Shape, *, behind: bool
) -> Select[*tuple[Any, ...]]:
    """The statement of a search; to build it takes as long as to run it.

    Args:
        reader: who asks.
        shape: of the filter.
        behind: whether it goes on behind a key.
    """
    wanted = bound_filter(shape)
    heads = walk_of(wanted).table(HEADS, AFTER[shape.order] if behind else None)
    query = select(
        *(heads.c.vector_id, heads.c.namespace, heads.c.name),
        *(heads.c.fingerprint, heads.c.j_low),
    ).where(
        heads.c.is_yanked.is_(False), readable(heads.c.namespace, reader, late=True)
    )
    for fact, column in FACTS:
        if getattr(wanted, fact) is not None:
            query = query.where(heads.c[column.key] == getattr(wanted, fact))
    if wanted.namespace is not None and shape.order is Order.J:
        query = query.where(heads.c.namespace == wanted.namespace)
    if wanted.asked:
        query = query.where(
            shown_by_one(heads.c.version_id, heads.c.namespace, wanted.asked)
        )
    if wanted.text:
        query = query.join(Version, Version.id == heads.c.version_id).where(
            heads.c.namespace.icontains(wanted.text, autoescape=True)
            | heads.c.name.icontains(wanted.text, autoescape=True)
            | Version.description.icontains(wanted.text, autoescape=True)
        )
    keys = [heads.c[column.key] for column in ORDERS[shape.order]]
    descending = [key.desc() for key in keys]
    order = descending if shape.order is Order.J else keys
    return query.order_by(*order).limit(bindparam("wanted_rows"))


# Families


def family_columns(table: Subquery) -> list[ColumnElement[Any]]:
    """What `Family` is made of."""
    return [table.c[name] for name in Family._fields]


def has_vectors(
    families: Subquery, reader: Reader, namespace: str | None
) -> ColumnElement[bool]:
    """Whether a family has a vector to see, among those published last."""
    heads = select(Head.namespace, Head.is_yanked).where(
        Head.fingerprint == families.c.fingerprint
    )
    if namespace is not None:
        heads = heads.where(Head.namespace == namespace)
    last = (
        heads.correlate(families)
        .order_by(Head.published_at.desc(), Head.vector_id.desc())
        .limit(FAMILY_WALKED)
        .subquery("last")
    )
    return (
        select(literal_column("1"))
        .select_from(last)
        .where(
            last.c.is_yanked.is_(False), readable(last.c.namespace, reader, late=True)
        )
        .correlate(families)
        .exists()
    )


def list_families(
    session: Session,
    reader: Reader,
    *,
    model_type: str | None,
    place: Place,
    limit: int,
) -> tuple[Sequence[Family], Place | None]:
    """Families that have vectors to see, by model type, width and number of layers.

    Returns:
        At most so many, and where to go on; None: that is all.
    """
    where = () if model_type is None else (ArchitectureRow.model_type == model_type,)
    walk = Walk(where, BY_SIZE)
    after = walk.begin(session, place)
    walked = walk.table(BY_SIZE, after)
    query = (
        select(*family_columns(walked))
        .where(has_vectors(walked, reader, None))
        .order_by(*(walked.c[column.key] for column in BY_SIZE))
        .limit(limit + 1)
    )
    rows = [Family(*row) for row in session.execute(query)]
    page = rows[:limit]
    last = size_of(page[-1]) if page else None
    if len(rows) > limit:
        return page, Place(last)
    return page, walk.rest(session, place, after, last)


def size_of(family: Family) -> tuple[str, int, int, str]:
    """What families are ordered by."""
    return family.model_type, family.hidden_size, family.layers, family.fingerprint
