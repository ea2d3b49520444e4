"""Aliases, every move of theirs, and who may move them.

Until now `latest` was the only alias. What an alias pointed at is asked about after an
accident, so its moves are kept in rows that nobody can change, as versions are.

Revision: 0010
Revises: 0009
Created: 2026-11-26 21:10
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def part(name: str, *, comment: str | None = None) -> sa.Column[str]:
    """A namespace, or a name within one; compared byte by byte on every database."""
    bytewise = sa.String(64, collation="C")
    kind = sa.String(64).with_variant(bytewise, "postgresql")
    return sa.Column(name, kind, nullable=False, comment=comment)


def upgrade() -> None:
    """Apply."""
    create_aliases()
    create_moves()
    create_protection()


def create_aliases() -> None:
    """What points where."""
    op.create_table(
        "aliases",
        sa.Column("vector_id", sa.Uuid(), nullable=False),
        part("name"),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("moved_at", TIME, nullable=False),
        foreign_key("aliases", "vector_id", "vectors", "id"),
        foreign_key("aliases", "version_id", "versions", "id"),
        sa.PrimaryKeyConstraint("vector_id", "name", name="pk_aliases"),
    )
    op.create_index("ix_aliases_version_id", "aliases", ["version_id"])


def create_moves() -> None:
    """What pointed where."""
    op.create_table(
        "alias_moves",
        sa.Column("vector_id", sa.Uuid(), nullable=False),
        part("alias"),
        sa.Column(
            "number",
            sa.Integer(),
            nullable=False,
            comment="of the alias's moves, from 1",
        ),
        sa.Column(
            "from_version_id", sa.Uuid(), comment="null: there was no such alias"
        ),
        sa.Column("to_version_id", sa.Uuid(), comment="null: it was removed"),
        sa.Column("token_id", sa.Uuid(), nullable=False, comment="who moved it"),
        sa.Column("moved_at", TIME, nullable=False),
        sa.CheckConstraint(
            "from_version_id IS NOT NULL OR to_version_id IS NOT NULL",
            name=op.f("ck_alias_moves_somewhere"),
        ),
        foreign_key("alias_moves", "vector_id", "vectors", "id"),
        foreign_key("alias_moves", "from_version_id", "versions", "id"),
        foreign_key("alias_moves", "to_version_id", "versions", "id"),
        foreign_key("alias_moves", "token_id", "tokens", "id"),
        sa.PrimaryKeyConstraint("vector_id", "alias", "number", name="pk_alias_moves"),
    )
    same = "vector_id = NEW.vector_id AND alias = NEW.alias AND number = NEW.number"
    make_insert_only("alias_moves", same)


def create_protection() -> None:
    """Who may move what."""
    op.create_table(
        "protected_aliases",
        part("namespace"),
        part(
            "vector",
            comment="name of the only one it is about; empty: all that have no own row",
        ),
        part("alias"),
        sa.Column(
            "created_at",
            TIME,
            server_default=sa.func.current_timestamp(),
            nullable=False,
        ),
        foreign_key("protected_aliases", "namespace", "namespaces", "name"),
        sa.PrimaryKeyConstraint(
            "namespace", "vector", "alias", name="pk_protected_aliases"
        ),
    )
    op.create_table(
        "alias_movers",
        part("namespace"),
        part("vector"),
        part("alias"),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["namespace", "vector", "alias"],
            [
                "protected_aliases.namespace",
                "protected_aliases.vector",
                "protected_aliases.alias",
            ],
            name="fk_alias_movers_protected_aliases",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["namespace", "account_id"],
            ["members.namespace", "members.account_id"],
            name="fk_alias_movers_namespace_account_id_members",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "namespace", "vector", "alias", "account_id", name="pk_alias_movers"
        ),
    )


def foreign_key(
    of: str, column: str, target: str, target_column: str
) -> sa.ForeignKeyConstraint:
    """The column names a row of another table."""
    return sa.ForeignKeyConstraint(
        [column], [f"{target}.{target_column}"], name=f"fk_{of}_{column}_{target}"
    )


def make_insert_only(table: str, same: str) -> None:
    """Have the database refuse to change, delete or replace rows, as in 0001."""
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
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "
        f"BEGIN SELECT {refusal}; END"
    )


def downgrade() -> None:
    """Take back; aliases are forgotten."""
    for table in ("alias_movers", "protected_aliases", "alias_moves", "aliases"):
        op.drop_table(table)
