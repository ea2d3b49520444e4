"""What was there before a script is there after it, with what the script adds."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from safegene_registry.db import Database
from safegene_registry.migrate import alembic_config, downgrade, upgrade
from sqlalchemy import inspect
from sqlalchemy.exc import IntegrityError

from safegene.artifact.digest import digest_bytes

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TYPES = {
    **dict.fromkeys(
        ("id", "token_id", "vector_id", "version_id", "account_id", "evaluation_id"),
        sa.Uuid,
    ),
    **dict.fromkeys(
        ("hidden_size", "layers", "rank", "size_bytes", "version_count"), sa.Integer
    ),
    **dict.fromkeys(("manifest", "envelope"), sa.LargeBinary),
    "j_low": sa.Double,
    **dict.fromkeys(
        ("published_at", "created_at", "expires_at", "revoked_at", "posted_at"),
        sa.DateTime(timezone=True),
    ),
    **dict.fromkeys(("is_admin", "is_yanked"), sa.Boolean),
}


def table(name: str, *columns: str) -> sa.TableClause:
    """A table for statements, whatever the models say today."""
    return sa.table(name, *(sa.column(c, TYPES.get(c, sa.Text)) for c in columns))


def insert(database: Database, into: str, /, **values: object) -> None:
    with database.write_engine.begin() as connection:
        connection.execute(table(into, *values).insert().values(**values))


def rows(database: Database, name: str, *columns: str) -> list[tuple]:
    """These columns of all rows, in some order that is always the same."""
    of = table(name, *columns)
    with database.engine.connect() as connection:
        found = connection.execute(sa.select(*(of.c[c] for c in columns)))
        return sorted((tuple(row) for row in found), key=repr)


def digest_of(text: str) -> str:
    return str(digest_bytes(text.encode()))


def insert_token(database: Database, name: str, scope: str) -> UUID:
    token_id = uuid4()
    digest = digest_of(str(token_id))
    insert(database, "tokens", id=token_id, name=name, digest=digest, scope=scope)
    return token_id


def insert_version(
    database: Database, vector_id: UUID, version: str, token_id: UUID, at: datetime
) -> None:
    digest, version_id = digest_of(f"{vector_id} {version}"), uuid4()
    insert(
        database,
        "versions",
        id=version_id,
        vector_id=vector_id,
        version=version,
        digest=digest,
        manifest=version.encode(),
        description="",
        license="MIT",
        base_model_id="base",
        base_model_revision="1",
        fingerprint=digest_of("family"),
        rank=8,
        size_bytes=10,
        token_id=token_id,
        published_at=at,
    )
    insert(database, "blobs", digest=digest, size_bytes=10)
    insert(database, "files", version_id=version_id, path="README.md", digest=digest)


@pytest.fixture
def old(database):
    """A registry of the first schema: three tokens, of which two have published."""
    upgrade(database, "0001")
    admin = insert_token(database, "first admin", "admin")
    ann, other = (insert_token(database, "ci", "publish") for _ in range(2))
    insert_token(database, "idle", "publish")
    insert(
        database,
        "architectures",
        fingerprint=digest_of("family"),
        model_type="llama",
        hidden_size=32,
        layers=2,
        document="{}",
    )
    for namespace in ("acme", "beta"):
        vector_id = uuid4()
        insert(database, "namespaces", name=namespace)
        insert(database, "vectors", id=vector_id, namespace=namespace, name="refusal")
        publishers = (ann, other, admin) if namespace == "acme" else (other,)
        for number, token_id in enumerate(publishers):
            at = NOON + timedelta(minutes=number)
            insert_version(database, vector_id, f"1.{number}.0", token_id, at)
    insert(
        database,
        "uploads",
        id=uuid4(),
        token_id=ann,
        digest=digest_of("upload"),
        manifest=json.dumps({"namespace": "gamma"}).encode(),
        state="open",
        created_at=NOON,
        expires_at=NOON,
    )
    return ann, other, admin


KEPT = {
    "versions": ("id", "vector_id", "version", "digest", "manifest", "token_id"),
    "files": ("version_id", "path", "digest"),
    "architectures": ("fingerprint", "model_type", "hidden_size", "document"),
    "blobs": ("digest", "size_bytes"),
    "vectors": ("id", "namespace", "name", "created_at"),
    "namespaces": ("name", "created_at"),
    "tokens": ("id", "name", "digest", "scope", "created_at"),
    "uploads": ("id", "token_id", "digest", "manifest", "state", "expires_at"),
}


def everything(database: Database) -> dict[str, list[tuple]]:
    return {name: rows(database, name, *columns) for name, columns in KEPT.items()}


def test_old_rows_survive(database, old):
    before = everything(database)

    upgrade(database)

    assert everything(database) == before
    assert sum(map(len, before.values())) == 22


REFUSED = (
    "UPDATE versions SET description = 'other'",
    "DELETE FROM versions",
    "UPDATE files SET digest = digest",
    "DELETE FROM files",
    "UPDATE architectures SET layers = 99",
    "DELETE FROM architectures",
)


def test_insert_only_tables_stay_so_after_every_script(database, old):
    """SQLite drops a table's triggers when a script has to copy it."""
    scripts = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    revisions = [script.revision for script in scripts][::-1]

    for revision in revisions:
        upgrade(database, revision)
        for statement in REFUSED:
            with (
                pytest.raises(IntegrityError, match="are insert-only"),
                database.write_engine.begin() as connection,
            ):
                connection.exec_driver_sql(statement)

    assert len(revisions) > 1


def test_going_back_keeps_the_rows_as_well(database, old):
    before = everything(database)

    upgrade(database)
    downgrade(database, "0001")

    assert everything(database) == before
    names = {
        column["name"] for column in inspect(database.engine).get_columns("tokens")
    }
    assert names == {"id", "name", "digest", "scope", "created_at"}


def test_every_token_gets_an_account(database, old):
    ann, other, admin = old

    upgrade(database)

    account_of = dict(rows(database, "tokens", "id", "account_id"))
    found = {
        account_id: (name, kind, is_admin)
        for account_id, name, kind, is_admin in rows(
            database, "accounts", "id", "name", "kind", "is_admin"
        )
    }
    assert len(set(account_of.values())) == len(found) == 4
    assert found[account_of[admin]] == ("first admin", "user", True)
    assert found[account_of[ann]] == (f"ci {ann}", "user", False)
    assert found[account_of[other]] == (f"ci {other}", "user", False)


def test_who_published_first_owns_the_namespace(database, old):
    ann, other, admin = old

    upgrade(database)

    account_of = dict(rows(database, "tokens", "id", "account_id"))
    roles = {
        (namespace, account_id): role
        for namespace, account_id, role in rows(
            database, "members", "namespace", "account_id", "role"
        )
    }
    assert roles == {
        ("acme", account_of[ann]): "owner",
        ("acme", account_of[other]): "publisher",
        ("acme", account_of[admin]): "publisher",
        ("beta", account_of[other]): "owner",
    }
    assert rows(database, "namespaces", "name", "visibility", "quota_bytes") == [
        ("acme", "public", None),
        ("beta", "public", None),
    ]


def test_an_open_upload_knows_its_namespace(database, old):
    upgrade(database)

    assert rows(database, "uploads", "namespace", "state") == [("gamma", "open")]


def test_going_back_opens_no_private_namespace(database, old):
    upgrade(database)
    with database.write_engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE namespaces SET visibility = 'private' WHERE name = 'acme'"
        )

    with pytest.raises(RuntimeError, match="would become public: acme; make them"):
        downgrade(database, "0001")

    assert ("acme", "private") in rows(database, "namespaces", "name", "visibility")


@pytest.mark.parametrize(
    "limit",
    [
        pytest.param("scope = 'read'", id="may only read"),
        pytest.param("namespace = 'beta'", id="opens one namespace"),
        pytest.param("revoked_at = CURRENT_TIMESTAMP", id="is revoked"),
        pytest.param("expires_at = CURRENT_TIMESTAMP", id="has expired"),
    ],
)
def test_going_back_leaves_no_limited_token_working(database, old, limit):
    upgrade(database)
    with database.write_engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE tokens SET {limit} WHERE name = 'idle'")
    before = dict(rows(database, "tokens", "name", "digest"))

    downgrade(database, "0001")

    after = dict(rows(database, "tokens", "name", "digest"))
    assert after.keys() == before.keys()
    changed = {name for name, digest in after.items() if digest != before[name]}
    assert changed == {"idle"}


def test_a_head_gets_what_searches_ask_for(database, old):
    upgrade(database, "0012")
    vectors = dict(rows(database, "vectors", "namespace", "id"))
    versions = rows(database, "versions", "vector_id", "version", "id", "published_at")
    acme = vectors["acme"]
    ((newest, at),) = [row[2:] for row in versions if row[:2] == (acme, "1.2.0")]
    insert(
        database,
        "heads",
        vector_id=acme,
        fingerprint=digest_of("family"),
        version_id=newest,
        version_count=3,
        published_at=at,
    )

    upgrade(database)

    facts = ("namespace", "name", "model_type", "layers", "base_model_id", "license")
    kept = ("vector_id", "version_id", "version_count", "is_yanked", "rank")
    assert rows(database, "heads", *facts) == [
        ("acme", "refusal", "llama", 2, "base", "MIT")
    ]
    assert rows(database, "heads", *kept) == [(acme, newest, 3, False, 8)]


def test_a_head_gets_the_best_evaluation_that_counts(database, old):
    upgrade(database, "0017")
    vectors = dict(rows(database, "vectors", "namespace", "id"))
    versions = dict(rows(database, "versions", "vector_id", "id"))
    (account, *others) = (row[0] for row in rows(database, "accounts", "id"))
    token = old[0]
    for namespace, vector_id in vectors.items():
        insert_head(database, namespace, vector_id, versions[vector_id])
    said = [
        insert_evaluation(database, versions[vector_id], account_id, token, j_low)
        for vector_id in vectors.values()
        for account_id, j_low in ((account, 0.25), (account, 0.5), (others[0], 0.75))
    ]
    insert(
        database,
        "trusted_evaluators",
        namespace="acme",
        name="lab",
        account_id=account,
        token_id=token,
        created_at=NOON,
    )

    upgrade(database)

    best = said[list(vectors).index("acme") * 3 + 1]
    assert rows(database, "heads", "namespace", "evaluation_id", "j_low") == [
        ("acme", best, 0.5),
        ("beta", None, None),
    ]


def insert_head(
    database: Database, namespace: str, vector_id: UUID, version_id: UUID
) -> None:
    insert(
        database,
        "heads",
        vector_id=vector_id,
        fingerprint=digest_of("family"),
        version_id=version_id,
        version_count=1,
        published_at=NOON,
        is_yanked=False,
        namespace=namespace,
        name="refusal",
        model_type="llama",
        layers=2,
        base_model_id="base",
        license="MIT",
        rank=8,
    )


def insert_evaluation(
    database: Database, version_id: UUID, account_id: UUID, token_id: UUID, j_low: float
) -> UUID:
    said = uuid4()
    insert(
        database,
        "attestations",
        id=said,
        version_id=version_id,
        digest=digest_of(str(said)),
        envelope=b"{}",
        kind="evaluation",
        account_id=account_id,
        token_id=token_id,
        posted_at=NOON,
        j_low=j_low,
    )
    return said
