"""All rows of the catalog as plain values, and back, whatever the database.

Uploads on their way are left out: what they have staged is in no backup either.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column, LargeBinary, Table, Uuid, exists, insert, select
from sqlalchemy.orm import Session

from safegene_registry import models
from safegene_registry.db import Base, UtcDateTime
from safegene_registry.lock_repository import take_locks

PASSING = frozenset(
    model.__tablename__
    for model in (
        models.Upload,
        models.UploadBlob,
        models.Reservation,
        models.Completion,
        models.Removal,
    )
)
"""Tables of what is under way."""

ROWS = 500
"""Rows that are fetched at once."""


def kept_tables() -> list[Table]:
    """Every table of the catalog, each after those that it refers to."""
    tables = Base.metadata.sorted_tables
    return [table for table in tables if table.name not in PASSING]


def rows_of(session: Session, table: Table) -> Iterator[dict[str, Any]]:
    """The rows of a table in the order of their key, as JSON can hold them."""
    query = select(table).order_by(*table.primary_key.columns)
    query = query.execution_options(yield_per=ROWS)
    for row in session.execute(query).mappings():
        yield {column.name: as_plain(row[column.name]) for column in table.columns}


def add_rows(session: Session, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows that `rows_of` has given."""
    made = [from_plain(table, row) for row in rows]
    for _, alike in groupby(made, key=lambda row: row.keys()):
        session.execute(insert(table), list(alike))


def filled_tables(session: Session) -> list[str]:
    """The tables of the catalog that have any rows."""
    return [
        table.name
        for table in kept_tables()
        if session.scalar(select(exists(select(table))))
    ]


def lock_restoring(session: Session) -> None:
    """Keep others from restoring into this registry."""
    take_locks(session, ["restoring"], shared=False)


def as_plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return value


def from_plain(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the database wants it.

    A document that is not there is left out: given as None it would be stored as the
    JSON value null, which is not the same as no value.
    """
    return {
        column.name: value_of(column, row[column.name])
        for column in table.columns
        if not (row[column.name] is None and isinstance(column.type, JSON))
    }


def value_of(column: Column[Any], value: Any) -> Any:
    """One value as the database wants it."""
    if value is None:
        return None
    if isinstance(column.type, UtcDateTime):
        return datetime.fromisoformat(value)
    if isinstance(column.type, Uuid):
        return UUID(value)
    if isinstance(column.type, LargeBinary):
        return b64decode(value, validate=True)
    return value
