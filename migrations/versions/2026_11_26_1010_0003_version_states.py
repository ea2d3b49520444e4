"""What may change about a version, beside the versions themselves, which cannot.

Yanking needs a place to be written down; a version without a row is as published.

Revision: 0003
Revises: 0002
Created: 2026-11-26 10:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "version_states",
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column(
            "yanked_at",
            TIME,
            comment="hidden from resolution since; null: not yanked",
        ),
        sa.Column("yank_reason", sa.Text()),
        sa.CheckConstraint(
            "(yanked_at IS NULL) = (yank_reason IS NULL)",
            name=op.f("ck_version_states_yank_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["versions.id"],
            name="fk_version_states_version_id_versions",
        ),
        sa.PrimaryKeyConstraint("version_id", name="pk_version_states"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("version_states")
