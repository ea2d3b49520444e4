"""Statements for the driver: the same values as SQLAlchemy would give it."""

from datetime import UTC, datetime

import pytest
from safegene_registry.db import UtcDateTime
from safegene_registry.lookups import Lookup
from safegene_registry.models.columns import StoredText
from sqlalchemy import Double, bindparam, column, select, table
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

WORDS = table("words", column("word", StoredText()), column("kind"))
EVENTS = table(
    "events",
    *(column("name", StoredText()), column("at", UtcDateTime())),
    column("height", Double()),
)
DIALECTS = {"sqlite": SQLiteDialect_pysqlite(), "postgresql": PGDialect_psycopg()}


@pytest.mark.parametrize("name", DIALECTS)
def test_values_are_those_that_sqlalchemy_gives_a_driver(name):
    query = select(WORDS.c.word).where(
        WORDS.c.kind == "plain", WORDS.c.word == bindparam("asked")
    )
    lookup = Lookup(query, tuple)

    told = [lookup.asked(DIALECTS[name], {"asked": text}) for text in ("a\0b", "c")]

    texts, values = zip(*told, strict=True)
    assert len(set(texts)) == 1
    assert values == (
        (["plain", "a\ufffdb"], ["plain", "c"])
        if name == "sqlite"
        else (
            {"kind_1": "plain", "asked": "a\ufffdb"},
            {"kind_1": "plain", "asked": "c"},
        )
    )


NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "came"),
    [("sqlite", "2026-11-26 12:00:00.000000"), ("postgresql", NOON)],
)
def test_rows_are_those_that_sqlalchemy_would_give(name, came):
    columns = EVENTS.c.name, EVENTS.c.at, EVENTS.c.height
    lookup = Lookup(select(*columns), tuple)

    found = lookup.found(DIALECTS[name], [("noon", came, 0.5), ("never", None, None)])

    assert found == [("noon", NOON, 0.5), ("never", None, None)]
