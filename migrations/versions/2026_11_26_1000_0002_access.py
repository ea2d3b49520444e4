"""Who may do what: accounts, members, scoped tokens, trusted publishers.

Until now whoever had a token could publish anywhere. Every token gets an account of its
own; the account whose token published first into a namespace owns it, the others that
have published there stay publishers, and tokens of scope `admin` belong to operators.
Nobody can do less than before, and owners can now keep others out.

Revision: 0002
Revises: 0001
Created: 2026-11-26 10:00
"""

import secrets
from collections import Counter
from uuid import uuid4

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
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
TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

IS_DIGEST = "length(digest) = 71 AND digest LIKE 'sha256:%'"

VISIBILITIES = "visibility IN ('public', 'private')"
OLD_SCOPES = "scope IN ('publish', 'admin')"
NEW_SCOPES = "scope IN ('read', 'publish', 'admin')"

ACCOUNT_NAME = 128
"""Longest name of an account."""


def upgrade() -> None:
    """Apply."""
    create_accounts()
    extend_namespaces()
    extend_tokens()
    create_members()
    create_trusted_publishers()


def create_accounts() -> None:
    """Those to whom tokens belong."""
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "name",
            key_text(ACCOUNT_NAME),
            nullable=False,
            comment="what operators and owners call it",
        ),
        sa.Column(
            "kind",
            sa.String(8),
            nullable=False,
            comment="user, or ci: made for a trusted publisher",
        ),
        sa.Column(
            "is_admin",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="an operator of the whole registry",
        ),
        created_at(),
        sa.CheckConstraint("kind IN ('user', 'ci')", name=op.f("ck_accounts_kind")),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("name", name="uq_accounts_name"),
    )


def extend_namespaces() -> None:
    """Visibility and quota."""
    with op.batch_alter_table("namespaces") as batch:
        batch.add_column(
            sa.Column(
                "visibility",
                sa.String(8),
                server_default="public",
                nullable=False,
                comment="who may read: all, members",
            )
        )
        batch.add_column(
            sa.Column(
                "quota_bytes",
                sa.BigInteger(),
                comment="most that its versions may add up to; null: no limit",
            )
        )
        batch.create_check_constraint(op.f("ck_namespaces_visibility"), VISIBILITIES)
        batch.create_check_constraint(
            op.f("ck_namespaces_quota_bytes"), "quota_bytes >= 0"
        )


def extend_tokens() -> None:
    """An account for every token, a third scope, and what ends a token."""
    for column in (
        sa.Column("account_id", sa.Uuid(), comment="whom it lets in"),
        sa.Column(
            "namespace",
            PART,
            comment="the only namespace it opens; null: all that its account may enter",
        ),
        sa.Column("expires_at", TIME, comment="null: never"),
        sa.Column("revoked_at", TIME, comment="null: not revoked"),
        sa.Column(
            "last_used_at",
            TIME,
            comment="roughly: need not be written at every use",
        ),
    ):
        op.add_column("tokens", column)
    give_accounts()
    with op.batch_alter_table("tokens", copy_from=tokens_with(OLD_SCOPES)) as batch:
        batch.alter_column("account_id", nullable=False)
        batch.alter_column(
            "scope",
            existing_type=sa.String(16),
            comment="most that it may be used for: read < publish < admin",
        )
        batch.alter_column(
            "name",
            existing_type=sa.String(128),
            comment="what its holder calls it; need not be unique",
        )
        batch.drop_constraint(op.f("ck_tokens_scope"), type_="check")
        batch.create_check_constraint(op.f("ck_tokens_scope"), NEW_SCOPES)
        batch.create_foreign_key(
            "fk_tokens_account_id_accounts", "accounts", ["account_id"], ["id"]
        )
        batch.create_foreign_key(
            "fk_tokens_namespace_namespaces", "namespaces", ["namespace"], ["name"]
        )
    op.create_index("ix_tokens_account_id", "tokens", ["account_id"])


def tokens_with(scopes: str, *further: sa.ForeignKeyConstraint) -> sa.Table:
    """The table as it is between two steps; SQLite cannot tell its own checks."""
    return sa.Table(
        "tokens",
        sa.MetaData(),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        created_at(),
        sa.Column("account_id", sa.Uuid()),
        sa.Column("namespace", PART),
        sa.Column("expires_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.Column("last_used_at", TIME),
        sa.CheckConstraint(IS_DIGEST, name=op.f("ck_tokens_digest")),
        sa.CheckConstraint(scopes, name=op.f("ck_tokens_scope")),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
        *further,
    )


def give_accounts() -> None:
    """Make one account a token, called as the token if no other is called so."""
    tokens = table("tokens", "id", "account_id", name=sa.Text, scope=sa.Text)
    accounts = table("accounts", "id", name=sa.Text, kind=sa.Text, is_admin=sa.Boolean)
    connection = op.get_bind()
    rows = connection.execute(sa.select(tokens.c.id, tokens.c.name, tokens.c.scope))
    found = rows.all()
    times = Counter(row.name for row in found)
    for row in found:
        plain = row.name if times[row.name] == 1 else f"{row.name[:91]} {row.id}"
        account_id = uuid4()
        connection.execute(
            sa.insert(accounts).values(
                id=account_id, name=plain, kind="user", is_admin=row.scope == "admin"
            )
        )
        connection.execute(
            sa.update(tokens).where(tokens.c.id == row.id).values(account_id=account_id)
        )


def create_members() -> None:
    """Roles, and those that follow from what was published."""
    op.create_table(
        "members",
        sa.Column("namespace", PART, nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        created_at(),
        sa.CheckConstraint(
            "role IN ('reader', 'publisher', 'owner')", name=op.f("ck_members_role")
        ),
        foreign_key("members", "namespace", "namespaces", "name"),
        foreign_key("members", "account_id", "accounts", "id"),
        sa.PrimaryKeyConstraint("namespace", "account_id", name="pk_members"),
    )
    op.create_index("ix_members_account_id", "members", ["account_id"])
    vectors = table("vectors", "id", namespace=sa.Text)
    versions = table("versions", "vector_id", "token_id", published_at=TIME)
    tokens = table("tokens", "id", "account_id")
    members = table("members", "account_id", namespace=sa.Text, role=sa.Text)
    first = sa.func.min(versions.c.published_at)
    published = (
        sa.select(vectors.c.namespace, tokens.c.account_id)
        .join(versions, versions.c.vector_id == vectors.c.id)
        .join(tokens, tokens.c.id == versions.c.token_id)
        .group_by(vectors.c.namespace, tokens.c.account_id)
        .order_by(vectors.c.namespace, first, tokens.c.account_id)
    )
    connection = op.get_bind()
    owned: set[str] = set()
    for row in connection.execute(published).all():
        role = "publisher" if row.namespace in owned else "owner"
        owned.add(row.namespace)
        connection.execute(
            sa.insert(members).values(
                namespace=row.namespace, account_id=row.account_id, role=role
            )
        )


def create_trusted_publishers() -> None:
    """CI jobs that may act as members."""
    op.create_table(
        "trusted_publishers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("namespace", PART, nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column(
            "issuer",
            key_text(255),
            nullable=False,
            comment="`iss`; must be one that the settings allow",
        ),
        sa.Column("audience", key_text(255), nullable=False, comment="`aud`"),
        sa.Column(
            "claims",
            DOCUMENT,
            nullable=False,
            comment="claims that the JWT must have, with these very values",
        ),
        sa.Column(
            "created_by", sa.Uuid(), nullable=False, comment="who decided to trust it"
        ),
        created_at(),
        sa.Column("last_used_at", TIME),
        sa.ForeignKeyConstraint(
            ["namespace", "account_id"],
            ["members.namespace", "members.account_id"],
            name="fk_trusted_publishers_namespace_account_id_members",
            ondelete="CASCADE",
        ),
        foreign_key("trusted_publishers", "created_by", "accounts", "id"),
        sa.PrimaryKeyConstraint("id", name="pk_trusted_publishers"),
        sa.UniqueConstraint(
            "namespace", "account_id", name="uq_trusted_publishers_namespace_account_id"
        ),
    )
    op.create_index(
        "ix_trusted_publishers_issuer_audience",
        "trusted_publishers",
        ["issuer", "audience"],
    )


def created_at() -> sa.Column[object]:
    """When the row was made, by the database's clock."""
    return sa.Column(
        "created_at", TIME, server_default=sa.func.current_timestamp(), nullable=False
    )


def foreign_key(
    of: str, column: str, target: str, target_column: str
) -> sa.ForeignKeyConstraint:
    """The column names a row of another table."""
    return sa.ForeignKeyConstraint(
        [column], [f"{target}.{target_column}"], name=f"fk_{of}_{column}_{target}"
    )


def table(of: str, /, *keys: str, **columns: object) -> sa.TableClause:
    """A table for statements: its UUID columns by name, others with their types."""
    return sa.table(
        of,
        *(sa.column(key, sa.Uuid) for key in keys),
        *(sa.column(column, kind) for column, kind in columns.items()),
    )


def downgrade() -> None:
    """Take back, unless that would open what is closed.

    Raises:
        RuntimeError: there are private namespaces, which everybody could read then.
    """
    connection = op.get_bind()
    namespaces = table("namespaces", name=sa.Text, visibility=sa.Text)
    private = connection.scalars(
        sa.select(namespaces.c.name)
        .where(namespaces.c.visibility == "private")
        .order_by(namespaces.c.name)
    ).all()
    if private:
        message = (
            f"private namespaces would become public: {', '.join(private)}; make"
            " them public first"
        )
        raise RuntimeError(message)
    op.drop_table("trusted_publishers")
    op.drop_table("members")
    close_tokens()
    op.drop_index("ix_tokens_account_id", "tokens")
    after = tokens_with(
        NEW_SCOPES,
        foreign_key("tokens", "account_id", "accounts", "id"),
        foreign_key("tokens", "namespace", "namespaces", "name"),
    )
    with op.batch_alter_table("tokens", copy_from=after) as batch:
        batch.drop_constraint(op.f("ck_tokens_scope"), type_="check")
        batch.create_check_constraint(op.f("ck_tokens_scope"), OLD_SCOPES)
        for column, target in (("account_id", "accounts"), ("namespace", "namespaces")):
            batch.drop_constraint(f"fk_tokens_{column}_{target}", type_="foreignkey")
            batch.drop_column(column)
        for column in ("expires_at", "revoked_at", "last_used_at"):
            batch.drop_column(column)
        batch.alter_column("scope", existing_type=sa.String(16), comment=None)
        batch.alter_column(
            "name",
            existing_type=sa.String(128),
            comment="what the operator calls it; need not be unique",
        )
    op.drop_table("accounts")
    after = sa.Table(
        "namespaces",
        sa.MetaData(),
        sa.Column("name", PART, nullable=False),
        created_at(),
        sa.Column("visibility", sa.String(8), nullable=False),
        sa.Column("quota_bytes", sa.BigInteger()),
        sa.CheckConstraint(VISIBILITIES, name=op.f("ck_namespaces_visibility")),
        sa.CheckConstraint("quota_bytes >= 0", name=op.f("ck_namespaces_quota_bytes")),
        sa.PrimaryKeyConstraint("name", name="pk_namespaces"),
    )
    with op.batch_alter_table("namespaces", copy_from=after) as batch:
        for name in ("visibility", "quota_bytes"):
            batch.drop_constraint(op.f(f"ck_namespaces_{name}"), type_="check")
            batch.drop_column(name)


def close_tokens() -> None:
    """Make useless for ever what the old schema would open wider or again."""
    tokens = table(
        *("tokens", "id", "account_id"),
        digest=sa.Text,
        scope=sa.Text,
        namespace=sa.Text,
        expires_at=TIME,
        revoked_at=TIME,
    )
    limits = (tokens.c.namespace, tokens.c.expires_at, tokens.c.revoked_at)
    limited = sa.or_(
        tokens.c.scope == "read", *(column.is_not(None) for column in limits)
    )
    connection = op.get_bind()
    for token_id in connection.scalars(sa.select(tokens.c.id).where(limited)).all():
        connection.execute(
            sa.update(tokens)
            .where(tokens.c.id == token_id)
            .values(digest=f"sha256:{secrets.token_hex(32)}", scope="publish")
        )
