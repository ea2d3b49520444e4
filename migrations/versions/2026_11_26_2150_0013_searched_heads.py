"""Heads hold what searches ask for, and indexes that find and order by it.

A search by base model walked every version of that base model, and one by any other
fact would have walked all of them.

Revision: 0013
Revises: 0012
Created: 2026-11-26 21:50
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
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

ADDED = {
    "namespace": (PART, "the vector's", "vectors", "id", "vector_id"),
    "name": (PART, "the vector's", "vectors", "id", "vector_id"),
    "model_type": (
        *(key_text(), "the family's", "architectures"),
        *("fingerprint", "fingerprint"),
    ),
    "layers": (
        *(sa.Integer(), "the family's", "architectures"),
        *("fingerprint", "fingerprint"),
    ),
    "base_model_id": (key_text(), "the newest's", "versions", "id", "version_id"),
    "license": (key_text(), "the newest's", "versions", "id", "version_id"),
    "rank": (sa.Integer(), "the newest's", "versions", "id", "version_id"),
}
"""Column: its type and comment; the table that has it, its key, and ours for that."""

OLD_INDEX = ("fingerprint", "published_at", "vector_id")
FOUND_BY = ("fingerprint", "base_model_id", "model_type", "layers", "license", "rank")
INDEXES = [("namespace", "name"), *((fact, "namespace", "name") for fact in FOUND_BY)]


def upgrade() -> None:
    """Apply."""
    for name, (kind, comment, *_) in ADDED.items():
        op.add_column("heads", sa.Column(name, kind, comment=comment))
    fill()
    with op.batch_alter_table("heads", copy_from=heads_between()) as batch:
        for name, (kind, *_) in ADDED.items():
            batch.alter_column(name, existing_type=kind, nullable=False)
    for columns in INDEXES:
        op.create_index(index_name(columns), "heads", list(columns))


def fill() -> None:
    """Copy what other tables say."""
    heads = sa.table("heads", *(sa.column(name) for name in (*ADDED, *KEYS)))
    values = {}
    for name, (_, _, table, key, own) in ADDED.items():
        source = sa.table(table, sa.column(name), sa.column(key))
        found = sa.select(source.c[name]).where(source.c[key] == heads.c[own])
        values[name] = found.scalar_subquery()
    op.execute(heads.update().values(values))


KEYS = ("vector_id", "fingerprint", "version_id")


def heads_between() -> sa.Table:
    """The table with the new columns, before they must be there: for SQLite's copy."""
    return sa.Table(
        "heads",
        sa.MetaData(),
        sa.Column("vector_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", DIGEST, nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("version_count", sa.Integer(), nullable=False),
        sa.Column("published_at", TIME, nullable=False),
        sa.Column("is_yanked", sa.Boolean(), server_default=sa.false(), nullable=False),
        *(sa.Column(name, kind) for name, (kind, *_) in ADDED.items()),
        sa.CheckConstraint("version_count > 0", name=op.f("ck_heads_version_count")),
        foreign_key("vector_id", "vectors", "id"),
        foreign_key("fingerprint", "architectures", "fingerprint"),
        foreign_key("version_id", "versions", "id"),
        sa.PrimaryKeyConstraint("vector_id", "fingerprint", name="pk_heads"),
        sa.Index(index_name(OLD_INDEX), *OLD_INDEX),
    )


def foreign_key(column: str, target: str, key: str) -> sa.ForeignKeyConstraint:
    """The column names a row of another table."""
    name = f"fk_heads_{column}_{target}"
    return sa.ForeignKeyConstraint([column], [f"{target}.{key}"], name=name)


def index_name(columns: tuple[str, ...]) -> str:
    """As all indexes are named."""
    return f"ix_heads_{'_'.join(columns)}"


def downgrade() -> None:
    """Take back."""
    for columns in INDEXES:
        op.drop_index(index_name(columns), "heads")
    for name in ADDED:
        op.drop_column("heads", name)
