"""Published versions cannot change: both databases refuse, whoever asks."""

import zlib
from pathlib import Path

import pytest
from safegene_registry.access import Scope
from safegene_registry.db import Database
from sqlalchemy.exc import IntegrityError
from support.attestations import an_evaluation, enveloped
from support.registry_app import app_registry, bearer
from support.versions import write_version

from safegene.artifact.attestation.envelope import ENVELOPE_MEDIA_TYPE

CHANGES = [
    "UPDATE versions SET description = 'other'",
    "UPDATE versions SET manifest = {bytes}",
    "DELETE FROM versions",
    "UPDATE files SET digest = digest",
    "DELETE FROM files",
    "UPDATE purges SET reason = 'none'",
    "DELETE FROM purges",
    "UPDATE attestations SET j_value = 1",
    "DELETE FROM attestations",
    "UPDATE alias_moves SET number = 9",
    "DELETE FROM alias_moves",
    "UPDATE promotion_policies SET number = 9",
    "DELETE FROM promotion_policies",
    "UPDATE architectures SET layers = 99",
    "DELETE FROM architectures",
    "UPDATE events SET actor = 'nobody'",
    "DELETE FROM events WHERE position = 2",
    "INSERT INTO architectures SELECT * FROM architectures WHERE true"
    " ON CONFLICT (fingerprint) DO UPDATE SET layers = 99",
]
SQLITE_CHANGES = [
    "INSERT OR REPLACE INTO purges SELECT * FROM purges",
    "INSERT OR REPLACE INTO attestations SELECT * FROM attestations",
    "INSERT OR REPLACE INTO alias_moves SELECT * FROM alias_moves",
    "INSERT OR REPLACE INTO promotion_policies SELECT * FROM promotion_policies",
    "INSERT OR REPLACE INTO versions SELECT * FROM versions",
    "INSERT OR REPLACE INTO files SELECT * FROM files",
    "INSERT OR REPLACE INTO events SELECT * FROM events",
    "INSERT OR REPLACE INTO architectures SELECT * FROM architectures",
    "REPLACE INTO versions SELECT randomblob(16), vector_id, version, digest,"
    " manifest, 'other', license, base_model_id, base_model_revision, fingerprint,"
    " rank, size_bytes, token_id, published_at FROM versions",
]
POSTGRESQL_CHANGES = [
    "TRUNCATE versions CASCADE",
    "TRUNCATE files",
    "TRUNCATE events",
    "TRUNCATE attestations CASCADE",
    "TRUNCATE alias_moves",
    "TRUNCATE purges",
    "TRUNCATE promotion_policies",
    "TRUNCATE architectures CASCADE",
    "WITH gone AS (DELETE FROM files RETURNING *) SELECT count(*) FROM gone",
    "MERGE INTO versions AS v USING versions AS w ON v.id = w.id"
    " WHEN MATCHED THEN UPDATE SET rank = 1",
]
TABLES = (
    *("versions", "files", "architectures", "blobs", "events"),
    *("alias_moves", "purges", "attestations", "promotion_policies"),
)
BYTES = {"sqlite": "x'00'", "postgresql": r"'\x00'"}


def content(database: Database) -> int:
    """A checksum of every row that must not change."""
    with database.engine.connect() as connection:
        rows = [
            connection.exec_driver_sql(f"SELECT * FROM {table}").all()
            for table in TABLES
        ]
    return zlib.crc32(repr(rows).encode())


@pytest.fixture(scope="module")
def published(tmp_path_factory, module_parts):
    root: Path = tmp_path_factory.mktemp("published")
    with app_registry(root / "data", **module_parts) as registry:
        manifest = write_version(root / "v")
        registry.publish(manifest, root / "v")
        moved = registry.client.put(
            f"/v1/vectors/{manifest.vector}/aliases/stable",
            json={"version": manifest.version},
            headers=registry.auth,
        )
        assert moved.status_code == 200, moved.text
        said = registry.client.post(
            f"/v1/vectors/{manifest.vector}/versions/{manifest.version}/attestations",
            content=enveloped(None, an_evaluation(), manifest.digest),
            headers={**registry.auth, "Content-Type": ENVELOPE_MEDIA_TYPE},
        )
        assert said.status_code == 201, said.text
        bad = write_version(root / "w", version="2.0.0", seed=2)
        registry.publish(bad, root / "w")
        gone = registry.client.post(
            f"/v1/vectors/{bad.vector}/versions/2.0.0/purge",
            json={"reason": "court", "digest": str(bad.digest)},
            headers=bearer(registry.token_of("tests", Scope.ADMIN)),
        )
        assert gone.status_code == 200, gone.text
        policy = registry.client.put(
            "/v1/namespaces/acme/policy",
            json={"policy": {"policy": 1, "rules": []}},
            headers=bearer(registry.token_of("tests", Scope.ADMIN)),
        )
        assert policy.status_code == 200, policy.text
        yield registry.services.database


def refuse(database: Database, statement: str, why: str) -> None:
    """The statement is refused, and changes nothing."""
    before = content(database)
    with (
        pytest.raises(IntegrityError, match=why),
        database.write_engine.begin() as connection,
    ):
        connection.exec_driver_sql(statement)
    assert content(database) == before


@pytest.mark.parametrize("statement", CHANGES)
def test_the_database_itself_refuses_to_change_a_version(published, statement):
    kind = published.engine.dialect.name

    refuse(published, statement.format(bytes=BYTES[kind]), "are insert-only")


def test_nor_does_it_in_ways_of_its_own(published):
    kind = published.engine.dialect.name
    own = {"sqlite": SQLITE_CHANGES, "postgresql": POSTGRESQL_CHANGES}

    for statement in own[kind]:
        refuse(published, statement, "are insert-only")


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("DELETE FROM blobs", id="a blob in use"),
        pytest.param(
            "UPDATE event_ends SET digest = NULL", id="a chain without an end"
        ),
        pytest.param(
            "INSERT INTO events SELECT namespace, 9, kind, at, actor, token_id, vector,"
            " version, details, NULL, digest FROM events WHERE position = 1",
            id="an event that follows none",
        ),
        pytest.param("DELETE FROM vectors", id="a vector with versions"),
        pytest.param("DELETE FROM tokens", id="who published"),
        pytest.param("DELETE FROM accounts", id="whose token published"),
        pytest.param(
            "UPDATE blobs SET digest = 'sha256:short'", id="no digest in a digest"
        ),
        pytest.param("UPDATE blobs SET size_bytes = -1", id="negative size"),
        pytest.param("UPDATE tokens SET scope = 'god'", id="unknown scope"),
        pytest.param("UPDATE members SET role = 'god'", id="unknown role"),
        pytest.param("UPDATE namespaces SET visibility = 'x'", id="unknown visibility"),
        pytest.param("UPDATE namespaces SET quota_bytes = -1", id="negative quota"),
        pytest.param(
            "INSERT INTO members SELECT * FROM members", id="a member twice over"
        ),
        pytest.param(
            "INSERT INTO alias_moves (vector_id, alias, number, token_id, moved_at)"
            " SELECT vector_id, alias, 2, token_id, moved_at FROM alias_moves",
            id="a move from nowhere to nowhere",
        ),
        pytest.param(
            "INSERT INTO version_states (version_id, yank_reason)"
            " SELECT id, 'no date' FROM versions",
            id="a reason for no yank",
        ),
    ],
)
def test_the_database_keeps_its_own_promises(published, statement):
    refuse(published, statement, r"constraint")
