"""Heads know whether all versions of their family are yanked.

Nothing could be yanked before, so none is.

Revision: 0007
Revises: 0006
Created: 2026-11-26 17:30
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "heads",
        sa.Column(
            "is_yanked",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="all versions are: only for who names one",
        ),
    )


def downgrade() -> None:
    """Take back; what is yanked is resolved again where a head points at it."""
    op.drop_column("heads", "is_yanked")
