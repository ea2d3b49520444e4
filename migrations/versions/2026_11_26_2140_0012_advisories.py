"""What is known to be wrong with versions of a vector.

A yank hides a version and a deprecation is said of one or of all; neither can say that
a range of them has a fault, how bad it is, and which version is the first without it.

Revision: 0012
Revises: 0011
Created: 2026-11-26 21:40
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
VERSION = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "advisories",
        sa.Column("vector_id", sa.Uuid(), nullable=False),
        sa.Column(
            "number",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="of the vector's, from 1",
        ),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("affected", sa.Text(), nullable=False, comment="a range of versions"),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column(
            "fixed_in",
            VERSION,
            comment="a version in its canonical spelling; null: none yet",
        ),
        sa.Column("token_id", sa.Uuid(), nullable=False, comment="who published it"),
        sa.Column("published_at", TIME, nullable=False),
        sa.Column("withdrawn_at", TIME, comment="null: it stands"),
        sa.Column("withdrawal_reason", sa.Text()),
        sa.CheckConstraint(
            "severity IN ('low', 'moderate', 'high', 'critical')",
            name=op.f("ck_advisories_severity"),
        ),
        sa.CheckConstraint("number > 0", name=op.f("ck_advisories_number")),
        sa.CheckConstraint(
            "(withdrawn_at IS NULL) = (withdrawal_reason IS NULL)",
            name=op.f("ck_advisories_withdrawal"),
        ),
        sa.ForeignKeyConstraint(
            ["vector_id"], ["vectors.id"], name="fk_advisories_vector_id_vectors"
        ),
        sa.ForeignKeyConstraint(
            ["token_id"], ["tokens.id"], name="fk_advisories_token_id_tokens"
        ),
        sa.PrimaryKeyConstraint("vector_id", "number", name="pk_advisories"),
    )


def downgrade() -> None:
    """Take back; what was said is forgotten."""
    op.drop_table("advisories")
