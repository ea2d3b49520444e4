"""Where events are sent, and what was not taken there.

Revision: 0015
Revises: 0014
Created: 2026-11-26 22:05
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def key_text(length: int) -> sa.types.TypeEngine[str]:
    """Text that is compared byte by byte on every database."""
    bytewise = sa.String(length, collation="C")
    return sa.String(length).with_variant(bytewise, "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("namespace", key_text(64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column(
            "secret",
            sa.Text(),
            nullable=False,
            comment="that deliveries are signed with, as it is",
        ),
        sa.Column(
            "created_at",
            TIME,
            server_default=sa.func.current_timestamp(),
            nullable=False,
        ),
        sa.Column(
            "position",
            sa.Integer(),
            nullable=False,
            comment="of the last event that is done with",
        ),
        sa.Column(
            "attempts",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="that have failed for the next event",
        ),
        sa.Column(
            "error",
            sa.Text(),
            nullable=True,
            comment="why the last attempt failed; null: it did not",
        ),
        sa.Column(
            "retry_at",
            TIME,
            nullable=True,
            comment="nothing is sent before; null: at once",
        ),
        sa.Column(
            "leased_until",
            TIME,
            nullable=True,
            comment="a replica is at work until then; null: none is",
        ),
        sa.CheckConstraint("position >= 0", name=op.f("ck_webhooks_position")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_webhooks_attempts")),
        sa.ForeignKeyConstraint(
            ["namespace"], ["namespaces.name"], name="fk_webhooks_namespace_namespaces"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_index("ix_webhooks_namespace", "webhooks", ["namespace"])
    op.create_table(
        "dead_letters",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("failed_at", TIME, nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column(
            "is_due",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="somebody wants it sent once more",
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhooks.id"],
            name="fk_dead_letters_webhook_id_webhooks",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("webhook_id", "position", name="pk_dead_letters"),
    )


def downgrade() -> None:
    """Take back; nobody is told any more."""
    op.drop_table("dead_letters")
    op.drop_table("webhooks")
