"""Bring a database to the newest schema; the scripts come with the package.

In a wheel the scripts lie beside this module, in a checkout at its root.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from safegene_registry import models
from safegene_registry.db import Base, Database
from safegene_registry.postgresql import migration_engine


class MigrationError(Exception):
    """The database cannot be brought to the schema that was asked for."""


def script_directory() -> Path:
    """Where the migration scripts are, as an absolute path.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    here = Path(__file__).resolve().parent
    for candidate in (here / "migrations", here.parents[1] / "migrations"):
        if (candidate / "env.py").is_file():
            return candidate
    message = f"no migration scripts beside {here}: install safegene again"
    raise FileNotFoundError(message)


def alembic_config(connection: Connection | None = None) -> Config:
    """Configuration for Alembic's commands, without a file."""
    config = Config()
    config.set_main_option("script_location", str(script_directory()))
    config.set_main_option("path_separator", "os")
    config.set_main_option(
        "file_template",
        "%%(year)d_%%(month).2d_%%(day).2d_%%(hour).2d%%(minute).2d_%%(rev)s_%%(slug)s",
    )
    config.attributes["connection"] = connection
    config.attributes["target_metadata"] = Base.metadata
    return config


def upgrade(database: Database, revision: str = "head") -> None:
    """Run the scripts that the database lacks; several processes may try at once.

    A lock is taken before the database is asked where it stands, so the second one
    waits and then finds nothing left to do.
    """
    with migrating(database) as connection:
        command.upgrade(alembic_config(connection), revision)


def downgrade(database: Database, revision: str) -> None:
    """Take scripts back."""
    with migrating(database) as connection:
        command.downgrade(alembic_config(connection), revision)


@cache
def newest_revision() -> str | None:
    """The schema that this program was written for."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def schema_fault(connection: Connection) -> str | None:
    """What is wrong with the schema of a database, None if it is this program's.

    Returns:
        The rest of a sentence that begins with "the schema".
    """
    found = MigrationContext.configure(connection).get_current_revision()
    newest = newest_revision()
    if found == newest:
        return None
    scripts = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    remedy = (
        "run `safegene-registry migrate` first"
        if found is None or found in {script.revision for script in scripts}
        else "a newer version of safegene has migrated it: install that here, too"
    )
    return (
        f"is at revision {found or 'none'}, this version of safegene needs {newest}:"
        f" {remedy}"
    )


def check_schema(database: Database) -> None:
    """Make sure that the database has the schema that this program was written for.

    Raises:
        MigrationError: its schema is older or newer, or it cannot be reached.
    """
    try:
        with database.engine.connect() as connection:
            fault = schema_fault(connection)
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        message = f"cannot read the database at {database.place}: {reason}"
        raise MigrationError(message) from error
    if fault is not None:
        message = f"the schema of {database.place} {fault}"
        raise MigrationError(message)


@contextmanager
def migrating(database: Database) -> Iterator[Connection]:
    """A connection on which scripts may replace tables.

    Raises:
        MigrationError: the database cannot be reached, or the scripts have left rows
            that refer to nothing.
    """
    if database.is_embedded:
        with migrating_sqlite(database) as connection:
            yield connection
        return
    engine = migration_engine(database.url)
    try:
        connection = engine.connect()
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        message = f"cannot reach the database at {database.place}: {reason}"
        raise MigrationError(message) from error
    # `env.py` does the rest: one transaction a script, locks, time-outs.
    with connection:
        yield connection


@contextmanager
def migrating_sqlite(database: Database) -> Iterator[Connection]:
    """One transaction for all scripts; foreign keys are checked as a whole at its end.

    SQLite changes a table by replacing it, which foreign keys must not notice.
    """
    try:
        connection = database.write_engine.connect()
    except DBAPIError as error:
        message = f"cannot open the database at {database.place}: {error.orig}"
        raise MigrationError(message) from error
    with connection:
        raw = connection.connection
        raw.execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                yield connection
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
                if broken:
                    tables = ", ".join(sorted({row[0] for row in broken}))
                    message = (
                        f"{len(broken)} rows of {tables} would refer to nothing after"
                        " the migration; nothing was changed"
                    )
                    raise MigrationError(message)
        finally:
            raw.execute("PRAGMA foreign_keys = ON")


__all__ = [
    "MigrationError",
    "alembic_config",
    "check_schema",
    "downgrade",
    "migrating",
    "models",
    "newest_revision",
    "schema_fault",
    "script_directory",
    "upgrade",
]
