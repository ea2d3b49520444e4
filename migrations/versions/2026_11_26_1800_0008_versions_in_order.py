"""An index in the order in which a vector's versions are listed.

A page cost as much as the vector had versions: all of them were read and sorted, to
show fifty.

Revision: 0008
Revises: 0007
Created: 2026-11-26 18:00
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INDEX = "ix_versions_vector_id_published_at_id"
COLUMNS = ["vector_id", "published_at", "id"]


def upgrade() -> None:
    """Apply; on PostgreSQL while others publish."""
    if op.get_context().dialect.name != "postgresql":
        op.create_index(INDEX, "versions", COLUMNS)
        return
    with op.get_context().autocommit_block():
        # What was cut off leaves an index that nothing uses.
        op.drop_index(INDEX, "versions", postgresql_concurrently=True, if_exists=True)
        op.create_index(INDEX, "versions", COLUMNS, postgresql_concurrently=True)


def downgrade() -> None:
    """Take back."""
    if op.get_context().dialect.name != "postgresql":
        op.drop_index(INDEX, "versions")
        return
    with op.get_context().autocommit_block():
        op.drop_index(INDEX, "versions", postgresql_concurrently=True, if_exists=True)
