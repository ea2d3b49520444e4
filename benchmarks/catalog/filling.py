"""Makes catalogs: the registry's own schema, rows loaded in bulk, statistics taken.

A catalog that is there whole is left as it is, so that a run which was cut off goes on.
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from alembic.script import ScriptDirectory
from safegene_registry.db import Base, Database
from safegene_registry.migrate import alembic_config, upgrade
from safegene_registry.postgresql import postgresql_url
from safegene_registry.sqlite import sqlite_url
from sqlalchemy import event, insert

from benchmarks.catalog.contents import BLOCK, COLUMNS, Catalog, Row
from benchmarks.harness import tell

BUFFER = 20_000
"""Rows of all tables that are written at once."""


def fill_postgresql(server: str, name: str, versions: int) -> str:
    """Make a database with a catalog, if it is not there whole.

    Args:
        server: URL of any database of the server, as its superuser.
        name: of the database.
        versions: how many.

    Returns:
        Its URL.
    """
    url = f"{server.rpartition('/')[0]}/{name}"
    done = f"filled with {versions} at {schema()}"
    with psycopg.connect(server, autocommit=True) as connection:
        found = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database"
            " WHERE datname = %s",
            [name],
        ).fetchone()
        if found == (done,):
            return url
        connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())
    database = Database(postgresql_url(url))
    upgrade(database)
    database.dispose()
    with psycopg.connect(url) as connection:
        # Rows are whole as they come; triggers would look each reference up.
        connection.execute("SET session_replication_role = replica")
        load(connection, versions)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute(f"COMMENT ON DATABASE {name} IS '{done}'".encode())
    return url


def schema() -> str | None:
    """The newest migration: catalogs of older ones are made anew."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def load(connection: psycopg.Connection, versions: int) -> None:
    """COPY all rows."""
    for table, rows in buffered(versions):
        columns = ", ".join(COLUMNS[table])
        statement = f"COPY {table} ({columns}) FROM STDIN".encode()
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)


def buffered(versions: int) -> Iterable[tuple[str, list[Row]]]:
    """The rows of some tables at a time, table by table."""
    rows = Catalog(versions).rows()
    done = 0
    while some := list(islice(rows, BUFFER)):
        by_table: dict[str, list[Row]] = {table: [] for table in COLUMNS}
        for table, row in some:
            by_table[table].append(row)
        before, done = done, done + len(by_table["versions"])
        if done // (50 * BLOCK) > before // (50 * BLOCK):
            tell(f"  {done} of {versions} versions")
        yield from ((table, found) for table, found in by_table.items() if found)


def fill_sqlite(path: Path, versions: int) -> Path:
    """The same for SQLite; returns the data directory."""
    path.mkdir(parents=True, exist_ok=True)
    marker = path / f"filled-{versions}-{schema()}"
    file = path / "registry.sqlite3"
    if marker.exists():
        return path
    for old in path.glob("registry.sqlite3*"):
        old.unlink()
    database = Database(sqlite_url(file))
    upgrade(database)
    database.dispose()
    database = Database(sqlite_url(file))
    # Rows are whole as they come; within a transaction it is too late to say so.
    event.listen(database.engine, "connect", trust_references)
    with database.write_engine.begin() as connection:
        for table, rows in buffered(versions):
            values: list[dict[str, Any]] = [
                dict(zip(COLUMNS[table], row, strict=True)) for row in rows
            ]
            connection.execute(insert(Base.metadata.tables[table]), values)
        connection.exec_driver_sql("ANALYZE")
    database.dispose()
    marker.touch()
    return path


def trust_references(connection: Any, _record: object) -> None:
    """Look no reference up."""
    connection.execute("PRAGMA foreign_keys = OFF")
