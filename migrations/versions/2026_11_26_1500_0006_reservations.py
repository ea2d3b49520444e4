"""Room that uploads have reserved in their namespace.

Quotas counted the versions alone, so that uploads opened side by side could each find
room and together exceed it: publishing refused them after every byte was sent. Uploads
that are open at the time of this script reserve nothing; publishing still refuses what
is too much.

Revision: 0006
Revises: 0005
Created: 2026-11-26 15:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def key_text(length: int) -> sa.types.TypeEngine[str]:
    """Text that is compared byte by byte on every database."""
    bytewise = sa.String(length, collation="C")
    return sa.String(length).with_variant(bytewise, "postgresql")


def upgrade() -> None:
    """Apply."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "reservations",
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column(
            "namespace",
            key_text(64),
            nullable=False,
            comment="the upload's; need not exist before the first version does",
        ),
        sa.Column(
            "version",
            text,
            nullable=False,
            comment="vector and version; however many uploads, it is published once",
        ),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_reservations_size_bytes")),
        sa.ForeignKeyConstraint(
            ["upload_id"],
            ["uploads.id"],
            name="fk_reservations_upload_id_uploads",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("upload_id", name="pk_reservations"),
    )
    op.create_index(
        "ix_reservations_namespace_version", "reservations", ["namespace", "version"]
    )


def downgrade() -> None:
    """Take back; uploads on their way may go on."""
    op.drop_index("ix_reservations_namespace_version", "reservations")
    op.drop_table("reservations")
