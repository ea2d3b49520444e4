"""Alembic's environment: runs scripts on the connection that `migrate.py` opened.

That connection has already begun its transaction and holds the write lock, so the
scripts of one upgrade are applied together or not at all.
"""

from alembic import context

config = context.config


def run() -> None:
    """Run the scripts."""
    connection = config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=config.attributes["target_metadata"],
        # SQLite can change a table only by copying it; the triggers of insert-only
        # tables do not survive that and must be made again by the script.
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
