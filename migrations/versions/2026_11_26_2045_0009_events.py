"""What has happened, as a chain of events for every namespace.

Chains begin with what happens after this script: nobody can say any more who did what
before it, and in which order. Events are insert-only, held by triggers as versions are.

Revision: 0009
Revises: 0008
Created: 2026-11-26 20:45
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def key_text(length: int | None = None) -> sa.types.TypeEngine[str]:
    """Text that is compared byte by byte on every database."""
    if length is None:
        return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    bytewise = sa.String(length, collation="C")
    return sa.String(length).with_variant(bytewise, "postgresql")


DIGEST = key_text(71)
PART = key_text(64)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "events",
        sa.Column("namespace", PART, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", key_text(64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "actor",
            sa.Text(),
            nullable=False,
            comment="account, or how it was done without one",
        ),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.Column("vector", PART, nullable=True),
        sa.Column("version", key_text(), nullable=True),
        sa.Column("details", sa.Text(), nullable=False, comment="canonical JSON"),
        sa.Column(
            "previous",
            DIGEST,
            nullable=True,
            comment="digest of the event before; null: this is the first",
        ),
        sa.Column(
            "digest",
            DIGEST,
            nullable=False,
            comment="of the event's canonical JSON",
        ),
        sa.CheckConstraint(
            "length(digest) = 71 AND digest LIKE 'sha256:%'",
            name=op.f("ck_events_digest"),
        ),
        sa.CheckConstraint("position > 0", name=op.f("ck_events_position")),
        sa.CheckConstraint(
            "(previous IS NULL) = (position = 1)", name=op.f("ck_events_previous")
        ),
        sa.ForeignKeyConstraint(
            ["namespace"], ["namespaces.name"], name="fk_events_namespace_namespaces"
        ),
        sa.PrimaryKeyConstraint("namespace", "position", name="pk_events"),
    )
    op.create_table(
        "event_ends",
        sa.Column("namespace", PART, nullable=False),
        sa.Column(
            "position", sa.Integer(), nullable=False, comment="of the last event"
        ),
        sa.Column("digest", DIGEST, nullable=True, comment="of the last event"),
        sa.CheckConstraint("position >= 0", name=op.f("ck_event_ends_position")),
        sa.CheckConstraint(
            "(digest IS NULL) = (position = 0)", name=op.f("ck_event_ends_digest")
        ),
        sa.ForeignKeyConstraint(
            ["namespace"],
            ["namespaces.name"],
            name="fk_event_ends_namespace_namespaces",
        ),
        sa.PrimaryKeyConstraint("namespace", name="pk_event_ends"),
    )
    make_insert_only()


def make_insert_only() -> None:
    """Have the database refuse to change, delete or replace events; see script 0001."""
    if op.get_context().dialect.name == "postgresql":
        for event, each in (
            ("UPDATE", "ROW"),
            ("DELETE", "ROW"),
            ("TRUNCATE", "STATEMENT"),
        ):
            op.execute(
                f"CREATE TRIGGER events_refuse_{event.lower()} BEFORE {event} ON events"
                f" FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
        return
    refusal = "RAISE(ABORT, 'events are insert-only')"
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER events_refuse_{event.lower()} BEFORE {event} ON events "
            f"BEGIN SELECT {refusal}; END"
        )
    op.execute(
        "CREATE TRIGGER events_refuse_replace BEFORE INSERT ON events "
        "WHEN EXISTS (SELECT 1 FROM events WHERE namespace = NEW.namespace"
        " AND position = NEW.position) BEGIN SELECT"
        " RAISE(ABORT, 'events are insert-only'); END"
    )


def downgrade() -> None:
    """Take back; what has happened is forgotten."""
    op.drop_table("event_ends")
    op.drop_table("events")
