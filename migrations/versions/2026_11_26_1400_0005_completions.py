"""Completions of large versions, which go on in the background.

A version that takes long to verify must not hold a connection for as long. Whoever
asks what has become of it may ask another replica; one that dies in the middle must not
leave a version that nobody verifies: hence the claim, which ends unless it is renewed.

Revision: 0005
Revises: 0004
Created: 2026-11-26 14:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "completions",
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column(
            "claim",
            sa.Uuid(),
            nullable=False,
            comment="the run that may say how it ended",
        ),
        sa.Column(
            "busy_until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="it counts as dead from then on, unless it says otherwise before",
        ),
        sa.Column(
            "problem",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            comment="why it failed; null while it runs",
        ),
        sa.ForeignKeyConstraint(
            ["upload_id"],
            ["uploads.id"],
            name="fk_completions_upload_id_uploads",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("upload_id", name="pk_completions"),
        sa.UniqueConstraint("claim", name="uq_completions_claim"),
    )


def downgrade() -> None:
    """Take back; completions on their way may be asked for again."""
    op.drop_table("completions")
