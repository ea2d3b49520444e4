"""The embedded database: who waits for whom, and what a power cut may take."""

import sqlite3
import threading
from contextlib import closing

import pytest
from safegene_registry.db import Database
from safegene_registry.sqlite import sqlite_url
from sqlalchemy import text

SECONDS = 60


@pytest.fixture
def database(tmp_path):
    database = Database(sqlite_url(tmp_path / "registry.sqlite3"))
    with database.writing() as session:
        session.execute(text("CREATE TABLE counts (n INTEGER NOT NULL)"))
        session.execute(text("INSERT INTO counts VALUES (0)"))
    yield database
    database.dispose()


def write_behind(database):
    """Write beside the registry, without waiting."""
    with closing(sqlite3.connect(database.place, timeout=0)) as other, other:
        other.execute("UPDATE counts SET n = n + 100")


def test_a_writer_has_the_lock_before_it_writes(database):
    """What it has read can then not change before it writes."""
    with database.writing() as session:
        assert session.scalar(text("SELECT n FROM counts")) == 0
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            write_behind(database)

    write_behind(database)


def test_a_reader_keeps_nobody_from_writing_and_sees_one_state(database):
    with database.reading() as session:
        before = session.scalar(text("SELECT n FROM counts"))
        write_behind(database)
        after = session.scalar(text("SELECT n FROM counts"))

    with database.reading() as session:
        assert session.scalar(text("SELECT n FROM counts")) == 100
    assert before == after == 0


def test_writers_wait_for_each_other_and_lose_nothing(database):
    """Each reads and writes what it has read, one more."""
    together = threading.Barrier(4)

    def count():
        together.wait(SECONDS)
        for _ in range(5):
            with database.writing() as session:
                n = session.scalar(text("SELECT n FROM counts"))
                session.execute(text("UPDATE counts SET n = :n"), {"n": n + 1})

    threads = [threading.Thread(target=count) for _ in range(together.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)

    with database.reading() as session:
        assert session.scalar(text("SELECT n FROM counts")) == 20


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        pytest.param("journal_mode", "wal", id="readers beside a writer"),
        pytest.param("synchronous", 2, id="what was answered survives a power cut"),
        pytest.param("foreign_keys", 1, id="rows refer to rows"),
        pytest.param("trusted_schema", 0, id="a foreign file runs nothing"),
    ],
)
def test_every_connection_is_set_up(database, pragma, value):
    with (
        database.engine.connect() as one,
        database.engine.connect() as another,
    ):
        found = {
            connection.exec_driver_sql(f"PRAGMA {pragma}").scalar()
            for connection in (one, another)
        }

    assert found == {value}


def test_what_is_raised_inside_takes_everything_back(database):
    def fail():
        with database.writing() as session:
            session.execute(text("UPDATE counts SET n = 7"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    with database.reading() as session:
        assert session.scalar(text("SELECT n FROM counts")) == 0
