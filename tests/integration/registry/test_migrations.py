"""The schema: up from nothing, back, no drift, and versions that cannot change."""

import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from alembic import command
from alembic.migration import MigrationContext
from safegene_registry.db import Database
from safegene_registry.migrate import (
    alembic_config,
    downgrade,
    script_directory,
    upgrade,
)
from sqlalchemy import inspect
from sqlalchemy.exc import IntegrityError, OperationalError
from support.registry_app import app_registry
from support.versions import write_version

TABLES = {
    *("namespaces", "tokens", "vectors", "versions", "files", "blobs"),
    *("architectures", "heads", "uploads", "alembic_version", "accounts", "members"),
    *("trusted_publishers", "version_states", "upload_blobs", "removals"),
}

NEWEST = "0004"


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "registry.sqlite3")
    yield database
    database.dispose()


def revision(database):
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def test_an_empty_database_gets_every_table(database):
    upgrade(database)

    assert set(inspect(database.engine).get_table_names()) == TABLES
    assert revision(database) == NEWEST


def test_upgrading_again_changes_nothing(database):
    upgrade(database)
    upgrade(database)

    assert revision(database) == NEWEST


def test_the_models_and_the_scripts_agree(database):
    upgrade(database)

    with database.write_engine.begin() as connection:
        command.check(alembic_config(connection))


def test_the_last_script_can_be_taken_back_and_applied_again(database):
    upgrade(database)

    downgrade(database, "-1")
    before = set(inspect(database.engine).get_table_names())
    upgrade(database)

    assert before == TABLES - {"upload_blobs", "removals"}
    assert revision(database) == NEWEST


def test_every_script_can_be_taken_back(database):
    upgrade(database)

    downgrade(database, "base")

    assert set(inspect(database.engine).get_table_names()) == {"alembic_version"}


def test_a_script_that_fails_leaves_the_database_as_it_was(database):
    with database.write_engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE heads (in_the_way INTEGER)")

    with pytest.raises(OperationalError, match="heads already exists"):
        upgrade(database)

    assert inspect(database.engine).get_table_names() == ["heads"]


def test_many_processes_may_migrate_at_once(tmp_path):
    commands = [
        [sys.executable, "-m", "safegene_registry", "migrate", "--data", tmp_path / "d"]
        for _ in range(4)
    ]

    processes = [
        subprocess.Popen(c, stderr=subprocess.PIPE, text=True) for c in commands
    ]
    said = [process.communicate(timeout=240)[1] for process in processes]

    assert [process.returncode for process in processes] == [0] * 4, said
    database = Database(tmp_path / "d" / "registry.sqlite3")
    assert revision(database) == NEWEST
    database.dispose()


def test_the_scripts_are_found_beside_the_package_or_at_the_root():
    place = script_directory()

    assert place.is_absolute()
    assert (place / "env.py").is_file()
    assert (place / "script.py.mako").is_file()
    assert list((place / "versions").glob("*_0001_initial.py"))


CHANGES = [
    "UPDATE versions SET description = 'other'",
    "UPDATE versions SET manifest = x'00'",
    "DELETE FROM versions",
    "UPDATE files SET digest = digest",
    "DELETE FROM files",
    "UPDATE architectures SET layers = 99",
    "DELETE FROM architectures",
    "INSERT OR REPLACE INTO versions SELECT * FROM versions",
    "INSERT OR REPLACE INTO files SELECT * FROM files",
    "INSERT OR REPLACE INTO architectures SELECT * FROM architectures",
    "REPLACE INTO versions SELECT randomblob(16), vector_id, version, digest,"
    " manifest, 'other', license, base_model_id, base_model_revision, fingerprint,"
    " rank, size_bytes, token_id, published_at FROM versions",
]


def content(database: Database) -> int:
    """A checksum of every row that must not change."""
    with database.engine.connect() as connection:
        rows = [
            connection.exec_driver_sql(f"SELECT * FROM {table}").all()
            for table in ("versions", "files", "architectures", "blobs")
        ]
    return zlib.crc32(repr(rows).encode())


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root: Path = tmp_path_factory.mktemp("published")
    with app_registry(root / "data") as registry:
        registry.publish(write_version(root / "v"), root / "v")
        yield registry.services.database


@pytest.mark.parametrize("statement", CHANGES)
def test_the_database_itself_refuses_to_change_a_version(published, statement):
    before = content(published)

    with (
        pytest.raises(IntegrityError, match="are insert-only"),
        published.write_engine.begin() as connection,
    ):
        connection.exec_driver_sql(statement)

    assert content(published) == before


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("DELETE FROM blobs", id="a blob in use"),
        pytest.param("DELETE FROM vectors", id="a vector with versions"),
        pytest.param("DELETE FROM tokens", id="who published"),
        pytest.param(
            "UPDATE blobs SET digest = 'sha256:short'", id="no digest in a digest"
        ),
        pytest.param("UPDATE blobs SET size_bytes = -1", id="negative size"),
        pytest.param("UPDATE tokens SET scope = 'god'", id="unknown scope"),
    ],
)
def test_the_database_keeps_its_own_promises(published, statement):
    before = content(published)

    with (
        pytest.raises(IntegrityError, match="constraint failed"),
        published.write_engine.begin() as connection,
    ):
        connection.exec_driver_sql(statement)

    assert content(published) == before
