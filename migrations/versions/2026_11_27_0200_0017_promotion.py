"""What moving an alias demands, and who approves of what.

Policies are kept, not changed: an auditor sees which one counted when. Approvals can be
withdrawn; the events of the namespace are their history.

Revision: 0017
Revises: 0016
Created: 2026-11-27 02:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
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
        "promotion_policies",
        sa.Column("namespace", key_text(64), nullable=False),
        sa.Column(
            "number",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="of the namespace's, from 1",
        ),
        sa.Column("document", sa.Text(), nullable=False, comment="in canonical JSON"),
        sa.Column("token_id", sa.Uuid(), nullable=False, comment="who set it"),
        sa.Column("set_at", TIME, nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_promotion_policies_number")),
        foreign_key("promotion_policies", "namespace", "namespaces", "name"),
        foreign_key("promotion_policies", "token_id", "tokens", "id"),
        sa.PrimaryKeyConstraint("namespace", "number", name="pk_promotion_policies"),
    )
    make_insert_only()
    op.create_table(
        "approvals",
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("alias", key_text(64), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column(
            "token_id", sa.Uuid(), nullable=False, comment="that it was given with"
        ),
        sa.Column("approved_at", TIME, nullable=False),
        foreign_key("approvals", "version_id", "versions", "id"),
        foreign_key("approvals", "account_id", "accounts", "id"),
        foreign_key("approvals", "token_id", "tokens", "id"),
        sa.PrimaryKeyConstraint(
            "version_id", "alias", "account_id", name="pk_approvals"
        ),
    )


def foreign_key(
    of: str, column: str, target: str, target_column: str
) -> sa.ForeignKeyConstraint:
    """The column names a row of another table."""
    return sa.ForeignKeyConstraint(
        [column], [f"{target}.{target_column}"], name=f"fk_{of}_{column}_{target}"
    )


def make_insert_only() -> None:
    """Have the database refuse to change, delete or replace policies; see 0001."""
    table = "promotion_policies"
    if op.get_context().dialect.name == "postgresql":
        for event, each in (
            ("UPDATE", "ROW"),
            ("DELETE", "ROW"),
            ("TRUNCATE", "STATEMENT"),
        ):
            op.execute(
                f"CREATE TRIGGER {table}_refuse_{event.lower()} BEFORE {event} ON"
                f" {table} FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
        return
    refusal = f"RAISE(ABORT, '{table} are insert-only')"
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_refuse_{event.lower()} BEFORE {event} ON {table} "
            f"BEGIN SELECT {refusal}; END"
        )
    op.execute(
        f"CREATE TRIGGER {table}_refuse_replace BEFORE INSERT ON {table} "  # noqa: S608 - names of ours
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE namespace = NEW.namespace"
        " AND number = NEW.number) "
        f"BEGIN SELECT {refusal}; END"
    )


def downgrade() -> None:
    """Take back; aliases move as whoever may move them likes."""
    op.drop_table("approvals")
    op.drop_table("promotion_policies")
