"""What is said of versions by those who measured them, and whose word counts.

Evaluations and calibrations are learned after a version was published, so they cannot
be in its manifest: they are envelopes on its digest, kept as they came and never
changed. The numbers in them are columns as well, so that a policy or a ranking need not
read envelopes.

Revision: 0016
Revises: 0015
Created: 2026-11-27 01:40
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)

NUMBERS = {
    "harm_value": "harmful prompts complied with",
    "harm_low": None,
    "harm_high": None,
    "j_value": None,
    "j_low": None,
    "j_high": None,
    "over_refusal_value": "harmless prompts refused",
    "over_refusal_low": None,
    "over_refusal_high": None,
    "gain_value": "of a calibration's objective",
    "gain_low": None,
    "gain_high": None,
    "kl": "that a calibration cost, nats per token",
}


def key_text(length: int) -> sa.types.TypeEngine[str]:
    """Text that is compared byte by byte on every database."""
    return sa.String(length).with_variant(
        sa.String(length, collation="C"), "postgresql"
    )


def upgrade() -> None:
    """Apply."""
    make_attestations()
    make_insert_only()
    op.create_table(
        "trusted_evaluators",
        sa.Column("namespace", key_text(64), nullable=False),
        sa.Column("name", key_text(64), nullable=False, comment="what owners call it"),
        sa.Column(
            "account_id", sa.Uuid(), comment="who has to have posted; null: anybody"
        ),
        sa.Column(
            "key_id", key_text(71), comment="whose signature it takes; null: none"
        ),
        sa.Column("public_key", sa.Text(), comment="in PEM"),
        sa.Column("token_id", sa.Uuid(), nullable=False, comment="who trusts"),
        sa.Column(
            "created_at",
            TIME,
            server_default=sa.func.current_timestamp(),
            nullable=False,
        ),
        sa.CheckConstraint(
            "account_id IS NOT NULL OR key_id IS NOT NULL",
            name=op.f("ck_trusted_evaluators_somebody"),
        ),
        sa.CheckConstraint(
            "(public_key IS NULL) = (key_id IS NULL)",
            name=op.f("ck_trusted_evaluators_key"),
        ),
        sa.ForeignKeyConstraint(
            ["namespace"],
            ["namespaces.name"],
            name="fk_trusted_evaluators_namespace_namespaces",
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name="fk_trusted_evaluators_account_id_accounts",
        ),
        sa.ForeignKeyConstraint(
            ["token_id"], ["tokens.id"], name="fk_trusted_evaluators_token_id_tokens"
        ),
        sa.PrimaryKeyConstraint("namespace", "name", name="pk_trusted_evaluators"),
    )


def make_attestations() -> None:
    """Make the table of what is said."""
    op.create_table(
        "attestations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("digest", key_text(71), nullable=False, comment="of the envelope"),
        sa.Column(
            "envelope", sa.LargeBinary(), nullable=False, comment="its exact bytes"
        ),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False, comment="who says so"),
        sa.Column(
            "token_id", sa.Uuid(), nullable=False, comment="that it was posted with"
        ),
        sa.Column(
            "key_id",
            key_text(71),
            comment="whose signature it bears, checked; null: it is unsigned",
        ),
        sa.Column("posted_at", TIME, nullable=False),
        sa.Column(
            "target_fingerprint",
            key_text(71),
            comment="of the model that it was measured on or made for",
        ),
        sa.Column(
            "set_name",
            key_text(64),
            comment="the harmless prompts of J and over-refusal",
        ),
        sa.Column("harmful_samples", sa.Integer()),
        sa.Column("harmless_samples", sa.Integer()),
        *(
            sa.Column(name, sa.Double(), comment=comment)
            for name, comment in NUMBERS.items()
        ),
        sa.CheckConstraint(
            "length(digest) = 71 AND digest LIKE 'sha256:%'",
            name=op.f("ck_attestations_digest"),
        ),
        sa.CheckConstraint(
            "kind IN ('evaluation', 'calibration', 'provenance', 'yank')",
            name=op.f("ck_attestations_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name="fk_attestations_version_id_versions"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name="fk_attestations_account_id_accounts"
        ),
        sa.ForeignKeyConstraint(
            ["token_id"], ["tokens.id"], name="fk_attestations_token_id_tokens"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_attestations"),
        sa.UniqueConstraint(
            "version_id",
            "digest",
            "account_id",
            name="uq_attestations_version_id_digest_account_id",
        ),
    )
    op.create_index(
        "ix_attestations_version_id_posted_at_id",
        "attestations",
        ["version_id", "posted_at", "id"],
    )


def make_insert_only() -> None:
    """Have the database refuse to change, delete or replace rows; see script 0001."""
    if op.get_context().dialect.name == "postgresql":
        for event, each in (
            ("UPDATE", "ROW"),
            ("DELETE", "ROW"),
            ("TRUNCATE", "STATEMENT"),
        ):
            op.execute(
                f"CREATE TRIGGER attestations_refuse_{event.lower()} BEFORE {event} ON"
                f" attestations FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
        return
    refusal = "RAISE(ABORT, 'attestations are insert-only')"
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER attestations_refuse_{event.lower()} BEFORE {event} ON"
            f" attestations BEGIN SELECT {refusal}; END"
        )
    op.execute(
        "CREATE TRIGGER attestations_refuse_replace BEFORE INSERT ON attestations"
        " WHEN EXISTS (SELECT 1 FROM attestations WHERE id = NEW.id OR"
        " (version_id = NEW.version_id AND digest = NEW.digest AND"
        " account_id = NEW.account_id)) BEGIN"
        " SELECT RAISE(ABORT, 'attestations are insert-only'); END"
    )


def downgrade() -> None:
    """Take back; what was said is forgotten."""
    op.drop_table("trusted_evaluators")
    op.drop_table("attestations")
