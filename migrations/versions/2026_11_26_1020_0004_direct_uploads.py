"""Uploads that go straight to S3, and blobs that are removed from it.

How each blob is sent is written down, so that an interrupted transfer can go on and a
multipart upload nobody ends can be aborted. Uploads say their namespace, for quotas. A
blob's removal is written down before it begins: the row outlives the locks of a process
whose request to the store may still be on its way.

Revision: 0004
Revises: 0003
Created: 2026-11-26 10:00
"""

import json
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
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

IS_DIGEST = "length(digest) = 71 AND digest LIKE 'sha256:%'"

ACCOUNT_NAME = 128
"""Longest name of an account."""


DIGEST = key_text(71)
PART = key_text(64)
TIME = sa.DateTime(timezone=True)

IS_DIGEST = "length(digest) = 71 AND digest LIKE 'sha256:%'"


def upgrade() -> None:
    """Apply."""
    extend_uploads()
    create_upload_blobs()
    create_removals()


def extend_uploads() -> None:
    """Where an upload is going, for quotas."""
    op.add_column(
        "uploads",
        sa.Column(
            "namespace",
            PART,
            comment="the manifest's; need not exist before the first version does",
        ),
    )
    fill_namespaces()
    with op.batch_alter_table("uploads", copy_from=uploads_between()) as batch:
        batch.alter_column("namespace", nullable=False)
        batch.alter_column("token_id", existing_type=sa.Uuid(), comment="who opened it")
    op.create_index("ix_uploads_namespace", "uploads", ["namespace"])


def fill_namespaces() -> None:
    """Say of every upload what its manifest says."""
    uploads = sa.table(
        "uploads",
        sa.column("id", sa.Uuid),
        sa.column("manifest", sa.LargeBinary),
        sa.column("namespace", sa.Text),
    )
    connection = op.get_bind()
    ids: list[UUID] = list(connection.scalars(sa.select(uploads.c.id)))
    for upload_id in ids:
        mine = uploads.c.id == upload_id
        manifest = connection.scalar(sa.select(uploads.c.manifest).where(mine))
        namespace = json.loads(manifest or b"")["namespace"]
        connection.execute(sa.update(uploads).where(mine).values(namespace=namespace))


def uploads_between() -> sa.Table:
    """The table as it is between the two steps; SQLite cannot tell its own checks."""
    return sa.Table(
        "uploads",
        sa.MetaData(),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("namespace", PART),
        sa.CheckConstraint(IS_DIGEST, name=op.f("ck_uploads_digest")),
        sa.CheckConstraint(
            "state IN ('open', 'published')", name=op.f("ck_uploads_state")
        ),
        sa.ForeignKeyConstraint(
            ["token_id"], ["tokens.id"], name="fk_uploads_token_id_tokens"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
        sa.Index("ix_uploads_expires_at", "expires_at"),
    )


def create_upload_blobs() -> None:
    """How blobs are sent straight to S3."""
    op.create_table(
        "upload_blobs",
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column(
            "kind",
            sa.String(16),
            nullable=False,
            comment="put: one request; multipart: many",
        ),
        sa.Column("multipart_id", key_text(), comment="what the S3 server calls it"),
        sa.Column(
            "part_bytes", sa.BigInteger(), comment="size of every part but the last"
        ),
        sa.Column(
            "state",
            sa.String(16),
            nullable=False,
            comment="received: whole under its staging key",
        ),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint(IS_DIGEST, name=op.f("ck_upload_blobs_digest")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_upload_blobs_size_bytes")),
        sa.CheckConstraint(
            "kind IN ('put', 'multipart')", name=op.f("ck_upload_blobs_kind")
        ),
        sa.CheckConstraint(
            "state IN ('open', 'received')", name=op.f("ck_upload_blobs_state")
        ),
        sa.CheckConstraint(
            "(kind = 'multipart') = (multipart_id IS NOT NULL)"
            " AND (kind = 'multipart') = (part_bytes IS NOT NULL)",
            name=op.f("ck_upload_blobs_multipart"),
        ),
        sa.CheckConstraint("part_bytes > 0", name=op.f("ck_upload_blobs_part_bytes")),
        sa.ForeignKeyConstraint(
            ["upload_id"],
            ["uploads.id"],
            name="fk_upload_blobs_upload_id_uploads",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("upload_id", "digest", name="pk_upload_blobs"),
    )


def create_removals() -> None:
    """Blobs that are being removed."""
    op.create_table(
        "removals",
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.CheckConstraint(IS_DIGEST, name=op.f("ck_removals_digest")),
        sa.PrimaryKeyConstraint("digest", name="pk_removals"),
    )


def downgrade() -> None:
    """Take back; uploads on their way may go on."""
    op.drop_table("removals")
    op.drop_table("upload_blobs")
    op.drop_index("ix_uploads_namespace", "uploads")
    with op.batch_alter_table("uploads", copy_from=uploads_between()) as batch:
        batch.drop_column("namespace")
        batch.alter_column("token_id", existing_type=sa.Uuid(), comment=None)
