"""SQLite, the database of the embedded registry: one file, one writer at a time."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, create_engine, event
from sqlalchemy.engine import Connection, Engine

BUSY_SECONDS = 30
"""How long a writer waits for another writer before it gives up."""


def sqlite_url(path: Path) -> URL:
    """URL of a database file; its directory must exist."""
    return URL.create("sqlite+pysqlite", database=str(path))


def sqlite_engine(url: URL, *, connections: int) -> Engine:
    """An engine whose transactions begin explicitly.

    Args:
        url: of the file.
        connections: that may be open at once.
    """
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        connect_args={"timeout": BUSY_SECONDS},
    )
    event.listen(engine, "connect", prepare_connection)
    event.listen(engine, "begin", begin_transaction)
    return engine


def prepare_connection(connection: sqlite3.Connection, _record: object) -> None:
    """Set up one new connection."""
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
