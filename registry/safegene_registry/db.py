"""The database: engine, transactions, and what every table shares.

SQLite where the registry is embedded, PostgreSQL where replicas share it. One request
is one transaction, opened and closed by `Database.reading` or `Database.writing` inside
the handler's own thread; nothing outside this file commits. It is not a FastAPI
dependency with `yield` on purpose: such a dependency may hold SQLite's write lock while
its handler waits for a thread of the pool, and the pool may be full of handlers that
wait for that lock.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import psycopg
from sqlalchemy import URL, DateTime, MetaData
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from safegene_registry import postgresql, sqlite
from safegene_registry.log import get_logger
from safegene_registry.lookups import Lookup, Parameters
from safegene_registry.problems import ProblemError

log = get_logger("safegene_registry.db")

Found = TypeVar("Found")

THREADS = 40
"""Handlers that run at once, and so connections that may be needed at once."""

RETRY_SECONDS = 5
"""What a client is told to wait when the database is busy, full or out of reach."""

DRIVER_ERRORS = (sqlite3.Error, psycopg.Error)
"""What comes from a driver where SQLAlchemy does not stand between."""

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
    """The engine and its kinds of transaction.

    Args:
        url: of `sqlite.sqlite_url` or `postgresql.postgresql_url`.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self._is_closed = False
        self.is_embedded = url.get_backend_name() == "sqlite"
        if self.is_embedded:
            self.engine = sqlite.sqlite_engine(url, connections=THREADS)
            self.read_engine: Engine = self.engine
            self.write_engine: Engine = self.engine.execution_options(begin="IMMEDIATE")
        else:
            self.engine = postgresql.postgresql_engine(url, connections=THREADS)
            self.read_engine = self.engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            self.write_engine = self.engine

    @property
    def place(self) -> str:
        """Where it is, for people; tells no secret."""
        if self.is_embedded:
            return str(self.url.database)
        return postgresql.place(self.url)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent snapshot; nothing written inside is kept."""
        with self._session(self.read_engine) as session:
            yield session

    def look_up(self, query: Lookup[Found], values: Mapping[str, Any]) -> list[Found]:
        """Rows of one SELECT: a snapshot by itself, it needs no transaction around it.

        Raises:
            ProblemError: `storage-unavailable`.
        """
        text, parameters = query.asked(self.engine.dialect, values)
        with self._open(), translated_errors():
            rows = self._fetch(text, parameters)
        return query.found(self.engine.dialect, rows)

    def _fetch(self, text: str, parameters: Parameters) -> list[Any]:
        pooled = self.engine.raw_connection()
        driver: Any = pooled.driver_connection
        try:
            cursor = driver.cursor()
            # As SQLAlchemy tells it, to whoever counts statements.
            told = None, cursor, text, parameters, None, False
            self.engine.dispatch.before_cursor_execute(*told)
            if not self.is_embedded:
                # Without BEGIN and ROLLBACK, two of three round trips.
                driver.autocommit = True
            rows: list[Any] = cursor.execute(text, parameters).fetchall()
            cursor.close()
            if not self.is_embedded:
                driver.autocommit = False
        except BaseException as error:
            # Whatever it was: nobody else gets this connection.
            pooled.invalidate(error)
            raise
        pooled.close()
        return rows

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One write transaction: committed at the end, rolled back on any error.

        SQLite has one at a time, so what is read cannot change before the commit.
        PostgreSQL has many, each statement of which sees what others have committed
        until then: whoever decides by what he reads takes a lock first
        (`lock_repository`), or leaves the decision to a constraint.
        """
        with self._session(self.write_engine) as session, session.begin():
            yield session

    @contextmanager
    def _session(self, engine: Engine) -> Iterator[Session]:
        # Rows are read after a commit to build the answer.
        with (
            self._open(),
            translated_errors(),
            Session(engine, expire_on_commit=False) as session,
        ):
            yield session

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Take part in `dispose`: refuse after it, and leave nothing connected."""
        if self._is_closed:
            raise unavailable()
        try:
            yield
        finally:
            if self._is_closed:
                self.engine.pool.dispose()

    def dispose(self) -> None:
        """Close every connection; one that is in use, as soon as it is not.

        Threads that were not waited for may still be at work. What they begin after
        this is refused, so that nothing is connected once they have ended.
        """
        self._is_closed = True
        # Of the engine it would make a new pool, and forget the connections in use.
        self.engine.pool.dispose()


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn a database that cannot take the request now into a problem to retry.

    Its disk is full, it stays locked, it restarts, its connections are used up, it was
    too slow. A commit whose answer was lost may have been one: a retry finds out.
    """
    try:
        yield
    except (DBAPIError, PoolTimeoutError, *DRIVER_ERRORS) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not is_passing(cause):
            raise
        log.warning(
            "database_unavailable",
            reason=str(cause).partition("\n")[0],
            sqlstate=getattr(cause, "sqlstate", None),
        )
        raise unavailable() from error


def unavailable() -> ProblemError:
    """A problem that says to try again later."""
    detail = "The registry's database cannot take the request right now."
    return ProblemError(
        detail, "storage-unavailable", headers={"Retry-After": str(RETRY_SECONDS)}
    )


def is_passing(cause: object) -> bool:
    """Whether an error has nothing to do with the statement it came from."""
    return (
        isinstance(cause, PoolTimeoutError)
        or sqlite.is_passing(cause)
        or postgresql.is_passing(cause)
    )
