"""The first tables: what publishing, resolving and the compatibility query need.

Why insert-only tables are held by triggers: a published version must not change even
through a bug of ours or a hand at the database's prompt. SQLite's `INSERT OR REPLACE`
deletes the old row without firing delete triggers, so a trigger on insert refuses it.
PostgreSQL's `TRUNCATE` fires triggers of its own.

Why keys have the collation "C" on PostgreSQL: others change with the operating system,
and an index built under the old rules then no longer finds its rows.

Revision: 0001
Created: 2026-11-24 12:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def key_text(length: int | None = None) -> sa.types.TypeEngine[str]:
    """Text that is compared byte by byte on every database."""
    if length is None:
        return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    bytewise = sa.String(length, collation="C")
    return sa.String(length).with_variant(bytewise, "postgresql")


DIGEST = key_text(71)
PART = key_text(64)
TIME = sa.DateTime(timezone=True)

INSERT_ONLY = {
    "architectures": "fingerprint = NEW.fingerprint",
    "files": "version_id = NEW.version_id AND path = NEW.path",
    "versions": (
        "id = NEW.id OR digest = NEW.digest"
        " OR (vector_id = NEW.vector_id AND version = NEW.version)"
    ),
}
"""Insert-only tables, and what makes a row already there the same as a new one."""


def upgrade() -> None:
    """Make the tables, parents first."""
    create_owners()
    create_vectors()
    create_versions()
    create_uploads()
    make_refusing_function()
    for table, same in INSERT_ONLY.items():
        make_insert_only(table, same)


def create_owners() -> None:
    """Namespaces and tokens."""
    op.create_table(
        "namespaces",
        sa.Column("name", PART, nullable=False),
        created_at(),
        sa.PrimaryKeyConstraint("name", name="pk_namespaces"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "name",
            sa.String(128),
            nullable=False,
            comment="what the operator calls it; need not be unique",
        ),
        sa.Column("digest", DIGEST, nullable=False, comment="sha256 of the secret"),
        sa.Column("scope", sa.String(16), nullable=False),
        created_at(),
        digest_check("tokens", "digest"),
        sa.CheckConstraint(
            "scope IN ('publish', 'admin')", name=op.f("ck_tokens_scope")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )


def create_vectors() -> None:
    """Vectors, architectures and blobs: what versions refer to."""
    op.create_table(
        "vectors",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("namespace", PART, nullable=False),
        sa.Column("name", PART, nullable=False),
        created_at(),
        foreign_key("vectors", "namespace", "namespaces", "name"),
        sa.PrimaryKeyConstraint("id", name="pk_vectors"),
        sa.UniqueConstraint("namespace", "name", name="uq_vectors_namespace_name"),
    )
    op.create_table(
        "architectures",
        sa.Column("fingerprint", DIGEST, nullable=False),
        sa.Column("model_type", key_text(), nullable=False),
        sa.Column("hidden_size", sa.Integer(), nullable=False),
        sa.Column("layers", sa.Integer(), nullable=False),
        sa.Column(
            "document",
            sa.Text(),
            nullable=False,
            comment="the whole structure, as JSON; the fingerprint names it",
        ),
        digest_check("architectures", "fingerprint"),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_architectures"),
    )
    op.create_index(
        "ix_architectures_model_type_hidden_size_layers",
        "architectures",
        ["model_type", "hidden_size", "layers"],
    )
    op.create_table(
        "blobs",
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        digest_check("blobs", "digest"),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_blobs_size_bytes")),
        sa.PrimaryKeyConstraint("digest", name="pk_blobs"),
    )


def create_versions() -> None:
    """Versions, their files, and the heads that point at the newest."""
    op.create_table(
        "versions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("vector_id", sa.Uuid(), nullable=False),
        sa.Column("version", key_text(), nullable=False, comment="canonical spelling"),
        sa.Column("digest", DIGEST, nullable=False, comment="digest of the manifest"),
        sa.Column(
            "manifest", sa.LargeBinary(), nullable=False, comment="its exact bytes"
        ),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("license", sa.Text(), nullable=False),
        sa.Column("base_model_id", key_text(), nullable=False),
        sa.Column("base_model_revision", sa.Text(), nullable=False),
        sa.Column("fingerprint", DIGEST, nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column(
            "size_bytes", sa.BigInteger(), nullable=False, comment="sum of its files"
        ),
        sa.Column("token_id", sa.Uuid(), nullable=False, comment="who published it"),
        sa.Column("published_at", TIME, nullable=False),
        digest_check("versions", "digest"),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_versions_size_bytes")),
        foreign_key("versions", "vector_id", "vectors", "id"),
        foreign_key("versions", "fingerprint", "architectures", "fingerprint"),
        foreign_key("versions", "token_id", "tokens", "id"),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("digest", name="uq_versions_digest"),
        sa.UniqueConstraint(
            "vector_id", "version", name="uq_versions_vector_id_version"
        ),
    )
    op.create_index("ix_versions_base_model_id", "versions", ["base_model_id"])
    op.create_index(
        "ix_versions_vector_id_fingerprint", "versions", ["vector_id", "fingerprint"]
    )
    op.create_table(
        "files",
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("path", key_text(255), nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        foreign_key("files", "version_id", "versions", "id"),
        foreign_key("files", "digest", "blobs", "digest"),
        sa.PrimaryKeyConstraint("version_id", "path", name="pk_files"),
    )
    op.create_index("ix_files_digest", "files", ["digest"])
    op.create_table(
        "heads",
        sa.Column("vector_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", DIGEST, nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("version_count", sa.Integer(), nullable=False),
        sa.Column(
            "published_at",
            TIME,
            nullable=False,
            comment="when the newest was published",
        ),
        sa.CheckConstraint("version_count > 0", name=op.f("ck_heads_version_count")),
        foreign_key("heads", "vector_id", "vectors", "id"),
        foreign_key("heads", "fingerprint", "architectures", "fingerprint"),
        foreign_key("heads", "version_id", "versions", "id"),
        sa.PrimaryKeyConstraint("vector_id", "fingerprint", name="pk_heads"),
    )
    op.create_index(
        "ix_heads_fingerprint_published_at_vector_id",
        "heads",
        ["fingerprint", "published_at", "vector_id"],
    )


def create_uploads() -> None:
    """Versions on their way in."""
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("digest", DIGEST, nullable=False, comment="digest of the manifest"),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        digest_check("uploads", "digest"),
        sa.CheckConstraint(
            "state IN ('open', 'published')", name=op.f("ck_uploads_state")
        ),
        foreign_key("uploads", "token_id", "tokens", "id"),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_expires_at", "uploads", ["expires_at"])


def created_at() -> sa.Column[object]:
    """When the row was made, by the database's clock."""
    return sa.Column(
        "created_at", TIME, server_default=sa.func.current_timestamp(), nullable=False
    )


def digest_check(table: str, column: str) -> sa.CheckConstraint:
    """The column looks like a digest."""
    return sa.CheckConstraint(
        f"length({column}) = 71 AND {column} LIKE 'sha256:%'",
        name=op.f(f"ck_{table}_{column}"),
    )


def foreign_key(
    table: str, column: str, target: str, target_column: str
) -> sa.ForeignKeyConstraint:
    """The column names a row of another table."""
    return sa.ForeignKeyConstraint(
        [column], [f"{target}.{target_column}"], name=f"fk_{table}_{column}_{target}"
    )


def make_insert_only(table: str, same: str) -> None:
    """Have the database refuse to change, delete or replace rows of the table."""
    if op.get_context().dialect.name == "postgresql":
        make_insert_only_on_postgresql(table)
        return
    refusal = f"RAISE(ABORT, '{table} are insert-only')"
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_refuse_{event.lower()} BEFORE {event} ON {table} "
            f"BEGIN SELECT {refusal}; END"
        )
    op.execute(
        f"CREATE TRIGGER {table}_refuse_replace BEFORE INSERT ON {table} "  # noqa: S608 - names of ours
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "
        f"BEGIN SELECT {refusal}; END"
    )


def make_refusing_function() -> None:
    """What the triggers of insert-only tables call on PostgreSQL."""
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN RAISE EXCEPTION '% are insert-only', TG_TABLE_NAME"
            " USING ERRCODE = 'integrity_constraint_violation'; END $$"
        )


def make_insert_only_on_postgresql(table: str) -> None:
    """The same with PostgreSQL's triggers."""
    for event, each in (
        ("UPDATE", "ROW"),
        ("DELETE", "ROW"),
        ("TRUNCATE", "STATEMENT"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_refuse_{event.lower()} BEFORE {event} ON {table} "
            f"FOR EACH {each} EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    """Drop everything, children first; the triggers go with their tables."""
    for table in (
        "uploads",
        "heads",
        "files",
        "versions",
        "blobs",
        "architectures",
        "vectors",
        "tokens",
        "namespaces",
    ):
        op.drop_table(table)
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")
