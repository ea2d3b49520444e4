"""Tombstones of versions whose bytes were removed for good.

By law or after an accident, bytes have to go that a version has; its rows are
insert-only and stay, so what tells that they are gone, and why, is a row of its own,
which cannot be changed either.

Revision: 0014
Revises: 0013
Created: 2026-11-26 22:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "purges",
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False, comment="who did it"),
        sa.Column("purged_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name="fk_purges_version_id_versions"
        ),
        sa.ForeignKeyConstraint(
            ["token_id"], ["tokens.id"], name="fk_purges_token_id_tokens"
        ),
        sa.PrimaryKeyConstraint("version_id", name="pk_purges"),
    )
    make_insert_only()


def make_insert_only() -> None:
    """Have the database refuse to change, delete or replace rows; see script 0001."""
    if op.get_context().dialect.name == "postgresql":
        for event, each in (
            ("UPDATE", "ROW"),
            ("DELETE", "ROW"),
            ("TRUNCATE", "STATEMENT"),
        ):
            op.execute(
                f"CREATE TRIGGER purges_refuse_{event.lower()} BEFORE {event} ON purges"
                f" FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
        return
    refusal = "RAISE(ABORT, 'purges are insert-only')"
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER purges_refuse_{event.lower()} BEFORE {event} ON purges "
            f"BEGIN SELECT {refusal}; END"
        )
    op.execute(
        "CREATE TRIGGER purges_refuse_replace BEFORE INSERT ON purges "
        "WHEN EXISTS (SELECT 1 FROM purges WHERE version_id = NEW.version_id) BEGIN"
        " SELECT RAISE(ABORT, 'purges are insert-only'); END"
    )


def downgrade() -> None:
    """Take back; the versions stay yanked, and their bytes are gone all the same.

    Raises:
        RuntimeError: something was purged: it would seem to be there.
    """
    count = op.get_bind().scalar(sa.text("SELECT count(*) FROM purges"))
    if count:
        message = f"{count} versions were purged and would seem to be there"
        raise RuntimeError(message)
    op.drop_table("purges")
