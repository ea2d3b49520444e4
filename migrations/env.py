"""Alembic's environment: runs scripts on the connection that `migrate.py` opened.

On SQLite that connection has already begun its transaction and holds the write lock, so
the scripts of one upgrade are applied together or not at all. On PostgreSQL each script
is a transaction of its own, so that none holds its locks while another works, and so
that an index can be made concurrently. Others may read and write meanwhile.
"""

import time

from alembic import context
from sqlalchemy import text
from sqlalchemy.engine import Connection

config = context.config

MIGRATION_LOCK = 7_239_115_003_516_190_001
"""Key of the advisory lock that the one process has that migrates."""

TURN_SECONDS = 3600
"""How long to wait for our turn; the process before us may have an index to build."""

POLL_SECONDS = 0.2

# Whoever waits for the lock of a table makes all after him wait as well: hence briefly;
# a script that did not get it can be run again.
LIMITS = {"lock_timeout": "10s", "statement_timeout": "1h"}


def run() -> None:
    """Run the scripts."""
    connection = config.attributes["connection"]
    on_postgresql = connection.dialect.name == "postgresql"
    if on_postgresql:
        take_turn(connection)
    context.configure(
        connection=connection,
        target_metadata=config.attributes["target_metadata"],
        # SQLite can change a table only by copying it; the triggers of insert-only
        # tables do not survive that and must be made again by the script.
        render_as_batch=True,
        compare_type=True,
        transaction_per_migration=on_postgresql,
    )
    with context.begin_transaction():
        context.run_migrations()


def take_turn(connection: Connection) -> None:
    """Wait until no other process migrates; the lock goes with the connection.

    Whoever waited inside a statement would make an index that is being built
    concurrently wait for him, and so for ever.

    Raises:
        TimeoutError: another process goes on migrating.
    """
    deadline = time.monotonic() + TURN_SECONDS
    while not has_turn(connection):
        if time.monotonic() > deadline:
            message = f"another process has been migrating for {TURN_SECONDS} seconds"
            raise TimeoutError(message)
        time.sleep(POLL_SECONDS)
    with connection.begin():
        for name, value in LIMITS.items():
            connection.execute(text(f"SET {name} = '{value}'"))


def has_turn(connection: Connection) -> bool:
    """Try to take the lock."""
    with connection.begin():
        query = text("SELECT pg_try_advisory_lock(:key)")
        return bool(connection.scalar(query, {"key": MIGRATION_LOCK}))


run()
