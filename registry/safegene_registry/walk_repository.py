"""Statements that walk an index: whatever is asked for, they look at so many entries.

A page costs the same with a thousand versions and with a million, and whatever the
asker may not see. Where a walk ends before a page is full, the page is short and the
next one goes on behind it.

The walk is a subquery with a limit of its own, which keeps a database from preferring
another way whose cost grows; what else must hold is asked of each row that comes out of
it, until there are enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Subquery, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

WALKED = 2000
"""Index entries that one statement looks at."""


class Place(NamedTuple):
    """Where a page begins. It names nothing that the asker has not been shown."""

    key: tuple[Any, ...] | None = None
    """Of the last entry that was shown; None: none was."""
    skipped: int = 0
    """Walks behind that which held nothing to be shown."""


START = Place()


@dataclass(frozen=True)
class Walk:
    """Entries of an index that begin alike, in its order.

    Args:
        where: what they begin with.
        order: what they are ordered by after that.
        descending: from the last to the first.
    """

    where: tuple[ColumnElement[bool], ...]
    order: tuple[InstrumentedAttribute[Any], ...]
    descending: bool = False

    def begin(self, session: Session, place: Place) -> tuple[Any, ...] | None:
        """The key behind which the walk begins; None: at the first entry."""
        if not place.skipped:
            return place.key
        query = self.ordered(select(*self.order), place.key)
        last = query.offset(WALKED * place.skipped - 1).limit(1)
        found = session.execute(last).one_or_none()
        return place.key if found is None else tuple(found)

    def table(self, columns: Sequence[Any], after: tuple[Any, ...] | None) -> Subquery:
        """These columns of the next entries, at most `WALKED` of them."""
        query = self.ordered(select(*columns), after)
        return query.limit(WALKED).subquery("walked")

    def rest(
        self,
        session: Session,
        place: Place,
        after: tuple[Any, ...] | None,
        last: tuple[Any, ...] | None,
    ) -> Place | None:
        """Where to go on from a page that did not get full; None: that was all.

        Args:
            session: of the transaction.
            place: of the page.
            after: where its walk began.
            last: the key of its last entry; None: it is empty.
        """
        if session.execute(self.beyond(after)).first() is None:
            return None
        return Place(place.key, place.skipped + 1) if last is None else Place(last)

    def beyond(self, after: tuple[Any, ...] | None) -> Select[*tuple[Any, ...]]:
        """The first entry behind those of the table."""
        return self.ordered(select(self.order[0]), after).offset(WALKED).limit(1)

    def ordered(
        self, query: Select[*tuple[Any, ...]], after: tuple[Any, ...] | None
    ) -> Select[*tuple[Any, ...]]:
        """All of them, or those behind a key."""
        query = query.where(*self.where)
        if after is not None:
            key = tuple_(*self.order)
            last = tuple_(*after, types=[column.type for column in self.order])
            query = query.where(key < last if self.descending else key > last)
        return query.order_by(
            *(column.desc() if self.descending else column for column in self.order)
        )
