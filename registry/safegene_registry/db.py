"""The database: engine, transactions, and what every table shares.

One request is one transaction, opened and closed by `Database.reading` or
`Database.writing` inside the handler's own thread; nothing outside this file commits.
It is not a FastAPI dependency with `yield` on purpose: such a dependency may hold
SQLite's write lock while its handler waits for a thread of the pool, and the pool may
be full of handlers that wait for that lock.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import DateTime, MetaData, create_engine, event
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from safegene_registry.problems import ProblemError

THREADS = 40
"""Handlers that run at once, and so connections that may be needed at once."""

BUSY_SECONDS = 30
"""How long a writer waits for another writer before it gives up."""

RETRY_SECONDS = 5
"""What a client is told to wait when the database is busy or its disk is full."""

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Root of every mapped class."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time on every database, SQLite included (which keeps no zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Store UTC."""
        del dialect
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        """Give back an aware time."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value


class Database:
    """The engine and its two kinds of transaction.

    Args:
        path: the SQLite file; its directory must exist.
    """

    def __init__(self, path: Path) -> None:
        self.engine = create_engine(
            f"sqlite+pysqlite:///{path}",
            pool_size=THREADS,
            max_overflow=0,
            connect_args={"timeout": BUSY_SECONDS},
        )
        event.listen(self.engine, "connect", prepare_connection)
        event.listen(self.engine, "begin", begin_transaction)
        self.write_engine = self.engine.execution_options(begin="IMMEDIATE")

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent snapshot; nothing written inside is kept."""
        with translated_errors(), Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One write transaction: committed at the end, rolled back on any error.

        It takes the write lock first, so what it reads cannot change under it.
        """
        with (
            translated_errors(),
            # Rows are read after the commit to build the answer.
            Session(self.write_engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def prepare_connection(connection: sqlite3.Connection, _record: object) -> None:
    """Set up one new SQLite connection."""
    # The driver would begin transactions by itself, too late and never IMMEDIATE.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        # With NORMAL a power cut may take back a version already answered with 201.
        "synchronous = FULL",
        "foreign_keys = ON",
        "trusted_schema = OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")


def begin_transaction(connection: Connection) -> None:
    """Begin explicitly; writers take the lock before their first statement."""
    kind = connection.get_execution_options().get("begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn a full disk or a database that stays locked into a problem to retry."""
    try:
        yield
    except DBAPIError as error:
        if is_passing(error.orig):
            detail = "The registry's database cannot take the request right now."
            raise ProblemError(
                detail,
                "storage-unavailable",
                headers={"Retry-After": str(RETRY_SECONDS)},
            ) from error
        raise


def is_passing(error: Any) -> bool:
    """Whether a driver error is about room or locks rather than about the statement."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF) in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    }
