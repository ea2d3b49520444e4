"""The schema on both databases: up from nothing, back, and no drift from the models."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from alembic import command
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from safegene_registry.db import Base, Database
from safegene_registry.migrate import (
    MigrationError,
    alembic_config,
    check_schema,
    downgrade,
    migrating,
    script_directory,
    upgrade,
)
from safegene_registry.postgresql import postgresql_url
from safegene_registry.sqlite import sqlite_url
from sqlalchemy import Engine, inspect
from sqlalchemy.exc import DBAPIError
from support.services import new_database

TABLES = {
    *("namespaces", "tokens", "vectors", "versions", "files", "blobs"),
    *("architectures", "heads", "uploads", "alembic_version", "accounts", "members"),
    *("trusted_publishers", "version_states", "upload_blobs", "removals"),
    *("completions", "reservations", "events", "event_ends"),
    *("webhooks", "dead_letters"),
    *("promotion_policies", "approvals"),
    *("aliases", "alias_moves", "protected_aliases", "alias_movers"),
    *("version_deprecations", "vector_deprecations", "advisories"),
    *("purges", "attestations", "trusted_evaluators"),
}

NEWEST = "0018"
CHANGED = {"heads"}
"""By the last script."""

INDEX = "ix_versions_vector_id_published_at_id"
"""By script 0008, on PostgreSQL while others write."""


def revision(database: Database) -> str | None:
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def test_an_empty_database_gets_every_table(database):
    upgrade(database)

    assert tables(database) == TABLES
    assert revision(database) == NEWEST


def test_upgrading_again_changes_nothing(database):
    upgrade(database)
    upgrade(database)

    assert revision(database) == NEWEST


def test_the_models_and_the_scripts_agree(database):
    upgrade(database)

    with migrating(database) as connection:
        command.check(alembic_config(connection))


def described(engine: Engine) -> dict[str, object]:
    """Everything that the database itself says of its tables."""
    inspector = inspect(engine)
    return {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"])
                for column in inspector.get_columns(table)
            },
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": by_name(inspector.get_foreign_keys(table)),
            "unique": by_name(inspector.get_unique_constraints(table)),
            "checks": by_name(inspector.get_check_constraints(table)),
            "indexes": by_name(map(compared, inspector.get_indexes(table))),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def compared(index: dict) -> dict:
    """An index with its condition as text, where two that are alike are equal."""
    options = index.get("dialect_options", {})
    told = {name: str(value) for name, value in options.items()}
    return {**index, "dialect_options": told}


def by_name(found: Iterable[dict]) -> dict[str, dict]:
    return {entry["name"]: entry for entry in found}


def test_the_scripts_make_what_the_models_would(database, tmp_path, request):
    """Alembic's comparison does not look at checks, nor at names of constraints."""
    upgrade(database)
    made = described(database.engine)

    if database.is_embedded:
        model = Database(sqlite_url(tmp_path / "model.sqlite3"))
        Base.metadata.create_all(model.engine)
        expected = described(model.engine)
    else:
        with new_database(request.getfixturevalue("postgres_server")) as url:
            model = Database(postgresql_url(url))
            Base.metadata.create_all(model.engine)
            expected = described(model.engine)
            model.dispose()

    assert made.keys() == expected.keys()
    for table, facts in expected.items():
        assert made[table] == facts, table


def test_the_last_script_can_be_taken_back_and_applied_again(database):
    upgrade(database)
    whole = described(database.engine)

    downgrade(database, "-1")
    before = described(database.engine)
    upgrade(database)

    assert described(database.engine) == whole
    changed = {name for name in whole if before[name] != whole[name]}
    assert before.keys() == whole.keys()
    assert changed == CHANGED
    assert revision(database) == NEWEST


def test_every_script_can_be_taken_back(database):
    upgrade(database)

    downgrade(database, "base")
    left = tables(database)
    upgrade(database)

    assert left == {"alembic_version"}
    assert tables(database) == TABLES


def test_a_script_that_fails_leaves_the_database_as_it_was(database):
    with database.write_engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE heads (in_the_way INTEGER)")

    with pytest.raises(DBAPIError, match=r"heads.* already exists"):
        upgrade(database)

    left = tables(database) - {"alembic_version"}
    assert left == {"heads"}
    assert database.is_embedded or revision(database) is None


def environment(database: Database) -> dict[str, str]:
    if database.is_embedded:
        return {"SAFEGENE_REGISTRY_DATA": str(Path(database.place).parent)}
    url = database.url.render_as_string(hide_password=False)
    return {"SAFEGENE_REGISTRY_DATABASE_URL": url}


def run(database: Database, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "safegene_registry", *arguments],
        env={**os.environ, **environment(database)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_many_processes_may_migrate_at_once(database):
    processes = [run(database, "migrate") for _ in range(4)]
    said = [process.communicate(timeout=240)[1] for process in processes]

    assert [process.returncode for process in processes] == [0] * 4, said
    assert {text.splitlines()[-1] for text in said} == {
        f"{database.place} is up to date."
    }
    assert revision(database) == NEWEST


def test_an_index_that_was_cut_off_is_made_anew(empty_url):
    """PostgreSQL leaves one that has the name and that nothing uses."""
    database = Database(postgresql_url(empty_url))
    upgrade(database, "0007")
    with database.write_engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE INDEX {INDEX} ON versions (id)")

    upgrade(database)

    made = by_name(inspect(database.engine).get_indexes("versions"))
    database.dispose()
    assert made[INDEX]["column_names"] == ["vector_id", "published_at", "id"]


CONCURRENTLY = '''"""An index on a table that may be large, made while others write."""

import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "NEWEST"


def upgrade():
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_blobs_size_bytes",
            "blobs",
            ["size_bytes"],
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index(
            "ix_blobs_size_bytes", "blobs", postgresql_concurrently=True, if_exists=True
        )
'''


def test_an_index_can_be_made_while_others_wait_to_migrate(empty_url, tmp_path):
    """Whoever waited inside a statement would be waited for by the index."""
    (tmp_path / "9001.py").write_text(CONCURRENTLY.replace("NEWEST", NEWEST))
    program = (
        "import sys\n"
        "from alembic import command\n"
        "from safegene_registry.db import Database\n"
        "from safegene_registry.migrate import alembic_config, migrating\n"
        "from safegene_registry.postgresql import postgresql_url\n"
        "with migrating(Database(postgresql_url(sys.argv[1]))) as connection:\n"
        "    config = alembic_config(connection)\n"
        "    config.set_main_option('version_locations', sys.argv[2])\n"
        "    command.upgrade(config, 'head')\n"
    )
    places = os.pathsep.join([str(script_directory() / "versions"), str(tmp_path)])

    processes = [
        subprocess.Popen([sys.executable, "-c", program, empty_url, places])
        for _ in range(3)
    ]
    codes = [process.wait(timeout=240) for process in processes]

    assert codes == [0, 0, 0]
    database = Database(postgresql_url(empty_url))
    names = {index["name"] for index in inspect(database.engine).get_indexes("blobs")}
    found = revision(database)
    database.dispose()
    assert names == {"ix_blobs_size_bytes"}
    assert found == "9001"


def test_the_scripts_are_found_beside_the_package_or_at_the_root():
    place = script_directory()

    assert place.is_absolute()
    assert (place / "env.py").is_file()
    assert (place / "script.py.mako").is_file()
    assert list((place / "versions").glob("*_0001_initial.py"))


def test_the_newest_revision_is_the_one_these_tests_know():
    scripts = ScriptDirectory.from_config(alembic_config())

    assert scripts.get_heads() == [NEWEST]


def test_the_schema_a_program_needs_passes(database):
    upgrade(database)

    check_schema(database)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        pytest.param(None, "at revision none,", id="empty"),
        pytest.param("0001", "at revision 0001,", id="behind"),
    ],
)
def test_a_schema_that_is_behind_is_told_with_its_remedy(database, found, told):
    if found is not None:
        upgrade(database, found)

    with pytest.raises(MigrationError) as caught:
        check_schema(database)

    assert told in str(caught.value)
    assert f"needs {NEWEST}: run `safegene-registry migrate` first" in str(caught.value)


def test_a_schema_that_is_ahead_asks_for_a_newer_program(database):
    upgrade(database)
    with database.write_engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(MigrationError, match=r"9999.*install that here, too"):
        check_schema(database)


def test_serving_never_migrates_a_shared_database(empty_url):
    database = Database(postgresql_url(empty_url))

    for arguments in (
        ["serve", "--port", "0"],
        ["gc"],
        ["token", "create", "--name=x"],
    ):
        process = run(database, *arguments)
        said = process.communicate(timeout=240)[1]

        assert process.returncode == 1
        assert "run `safegene-registry migrate` first" in said
        assert "postgres@" not in said
    assert tables(database) == set()
    database.dispose()


def test_a_database_out_of_reach_is_told_without_its_password():
    url = "postgresql://gene:secret@127.0.0.1:1/gene"
    database = Database(postgresql_url(url))

    for arguments in (["migrate"], ["serve", "--port", "0"]):
        process = run(database, *arguments)
        said = process.communicate(timeout=240)[1]

        assert process.returncode == 1
        assert "the database at postgresql://127.0.0.1:1/gene: " in said
        assert "secret" not in said
        assert len(said.splitlines()) == 1
