"""Faults of a database, made to order."""

from sqlalchemy.orm import Session


def refuse_inserts(session: Session, table: str) -> None:
    """From now on nothing can be inserted into the table."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        action = "BEGIN SELECT RAISE(ABORT, 'no inserts today'); END"
    else:
        # Of the first migration: it serves the insert-only tables.
        action = "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    connection.exec_driver_sql(
        f"CREATE TRIGGER no_inserts BEFORE INSERT ON {table} {action}"
    )


def accept_inserts(session: Session, table: str) -> None:
    """Things are as before."""
    connection = session.connection()
    place = "" if connection.dialect.name == "sqlite" else f" ON {table}"
    connection.exec_driver_sql(f"DROP TRIGGER no_inserts{place}")
