"""How a database would run the statements that it was sent."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from safegene_registry.db import Database
from sqlalchemy import event


@contextmanager
def remembered(database: Database, pattern: str) -> Iterator[list[tuple]]:
    """Statements that match, with their parameters."""
    found: list[tuple] = []

    def remember(_connection, _cursor, statement, parameters, _context, _many):
        if re.search(pattern, statement):
            found.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", remember)
    try:
        yield found
    finally:
        event.remove(database.engine, "before_cursor_execute", remember)


def plan_of(database: Database, statement: str, parameters: object) -> str:
    """The plan in one line; of so few rows, PostgreSQL would rather read all."""
    with database.reading() as session:
        connection = session.connection()
        if database.is_embedded:
            explain = "EXPLAIN QUERY PLAN"
        else:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            connection.exec_driver_sql("SET LOCAL enable_sort = off")
            explain = "EXPLAIN"
        rows = connection.exec_driver_sql(f"{explain} {statement}", parameters)
        return " | ".join(row[-1] for row in rows)


def check_index_only(plan: str, index: str) -> None:
    """The rows come from this index, in its order, and nothing is read besides."""
    assert re.search(rf"(USING (COVERING )?INDEX|Backward using) {index}\b", plan), plan
    for slow in ("SCAN", "Seq Scan", "TEMP B-TREE", "Sort"):
        assert slow not in plan


def check_walk(database: Database, plan: str, index: str) -> None:
    """The entries come from this index, in its order, and only as many as wanted.

    SQLite orders once more what the walk has found.
    """
    assert re.search(
        rf"(USING (COVERING )?INDEX|Scan (Backward )?using) {index}\b", plan
    ), plan
    slow = ("SCAN heads", "SCAN architectures")
    if not database.is_embedded:
        slow = ("Seq Scan", "Sort", "Hash", "Materialize")
    for step in slow:
        assert step not in plan, plan
