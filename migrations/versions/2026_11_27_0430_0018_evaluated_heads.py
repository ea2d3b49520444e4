"""Heads know their best evaluation that counts, and indexes rank them by it.

What is searched for by figures was measured by somebody whom the namespace trusts. To
look for those among all heads would have cost more with every vector that has none.

Revision: 0018
Revises: 0017
Created: 2026-11-27 04:30
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

FOREIGN_KEY = "fk_heads_evaluation_id_attestations"
INDEXES = {
    "ix_heads_evaluated": ["namespace", "name"],
    "ix_heads_ranked": ["j_low", "namespace", "name"],
    "ix_heads_fingerprint_ranked": ["fingerprint", "j_low", "namespace", "name"],
}

FACTS = ("fingerprint", "base_model_id", "model_type", "layers", "license", "rank")

BEST = """
UPDATE heads SET evaluation_id = (
    SELECT said.id FROM attestations AS said
    WHERE said.version_id = heads.version_id AND said.kind = 'evaluation'
    AND EXISTS (
        SELECT 1 FROM trusted_evaluators AS trusted
        WHERE trusted.namespace = heads.namespace
        AND (trusted.account_id IS NULL OR trusted.account_id = said.account_id)
        AND (trusted.key_id IS NULL OR trusted.key_id = said.key_id)
    )
    ORDER BY said.j_low DESC, said.id LIMIT 1
)
"""
J_OF_BEST = """
UPDATE heads SET j_low = (
    SELECT said.j_low FROM attestations AS said WHERE said.id = heads.evaluation_id
) WHERE evaluation_id IS NOT NULL
"""


COUNTED = sa.text("j_low IS NOT NULL")


def key_text(length: int | None = None) -> sa.types.TypeEngine[str]:
    """Text that is compared byte by byte on every database."""
    if length is None:
        return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    bytewise = sa.String(length, collation="C")
    return sa.String(length).with_variant(bytewise, "postgresql")


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("heads", copy_from=sa.Table(*heads())) as batch:
        for column in added():
            batch.add_column(column)
        batch.create_foreign_key(FOREIGN_KEY, "attestations", ["evaluation_id"], ["id"])
    op.execute(BEST)
    op.execute(J_OF_BEST)
    for name, columns in INDEXES.items():
        op.create_index(
            name, "heads", columns, postgresql_where=COUNTED, sqlite_where=COUNTED
        )


def added() -> list[sa.Column[Any]]:
    """The new columns."""
    best = "of the newest, by somebody trusted, with the highest j_low"
    low = "lower end of the J of that; null: none counts"
    return [
        sa.Column("evaluation_id", sa.Uuid(), comment=best),
        sa.Column("j_low", sa.Double(), comment=low),
    ]


def heads() -> list[Any]:
    """What the table was made of before, for SQLite's copy."""
    digest, part = key_text(71), key_text(64)
    found_by = (
        *(("fingerprint", "published_at", "vector_id"), ("namespace", "name")),
        *((fact, "namespace", "name") for fact in FACTS),
    )
    return [
        *("heads", sa.MetaData()),
        sa.Column("vector_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", digest, nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("version_count", sa.Integer(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_yanked", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("namespace", part, nullable=False),
        sa.Column("name", part, nullable=False),
        sa.Column("model_type", key_text(), nullable=False),
        sa.Column("layers", sa.Integer(), nullable=False),
        sa.Column("base_model_id", key_text(), nullable=False),
        sa.Column("license", key_text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.CheckConstraint("version_count > 0", name=op.f("ck_heads_version_count")),
        foreign_key("vector_id", "vectors", "id"),
        foreign_key("fingerprint", "architectures", "fingerprint"),
        foreign_key("version_id", "versions", "id"),
        sa.PrimaryKeyConstraint("vector_id", "fingerprint", name="pk_heads"),
        *(sa.Index(f"ix_heads_{'_'.join(columns)}", *columns) for columns in found_by),
    ]


def foreign_key(column: str, target: str, key: str) -> sa.ForeignKeyConstraint:
    """The column names a row of another table."""
    name = f"fk_heads_{column}_{target}"
    return sa.ForeignKeyConstraint([column], [f"{target}.{key}"], name=name)


def downgrade() -> None:
    """Take back; who is trusted and what was said stays."""
    for name in INDEXES:
        op.drop_index(name, "heads")
    whole = sa.Table(
        *heads(), *added(), foreign_key("evaluation_id", "attestations", "id")
    )
    with op.batch_alter_table("heads", copy_from=whole) as batch:
        batch.drop_constraint(FOREIGN_KEY, type_="foreignkey")
        for column in added():
            batch.drop_column(column.name)
