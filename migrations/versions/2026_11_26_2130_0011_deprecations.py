"""What should not be used any more, version by version or a whole vector.

Until now the only word on a version was a yank, which is for what is bad.

Revision: 0011
Revises: 0010
Created: 2026-11-26 21:30
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for of in ("version", "vector"):
        table, key = f"{of}_deprecations", f"{of}_id"
        op.create_table(
            table,
            sa.Column(key, sa.Uuid(), nullable=False),
            sa.Column("deprecated_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("message", sa.Text(), nullable=False),
            sa.Column(
                "successor", sa.Text(), comment="a reference; null: there is none"
            ),
            sa.Column("token_id", sa.Uuid(), nullable=False, comment="who said so"),
            sa.ForeignKeyConstraint(
                [key], [f"{of}s.id"], name=f"fk_{table}_{key}_{of}s"
            ),
            sa.ForeignKeyConstraint(
                ["token_id"], ["tokens.id"], name=f"fk_{table}_token_id_tokens"
            ),
            sa.PrimaryKeyConstraint(key, name=f"pk_{table}"),
        )


def downgrade() -> None:
    """Take back; what was said is forgotten."""
    op.drop_table("vector_deprecations")
    op.drop_table("version_deprecations")
