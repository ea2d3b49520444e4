"""${message}

Why: say what this one change is for.

Rules: one change a script; it runs on SQLite and PostgreSQL; names of checks in `op.f()`;
on PostgreSQL an index on a table that may be large is made concurrently, alone in its
script (`with op.get_context().autocommit_block()`, `postgresql_concurrently=True`,
`if_not_exists=True`); never import application code; insert-only tables
(`versions`, `files`, `architectures`) keep their triggers on every database, so a batch
operation on one of them makes its triggers again; a test shows that old rows survive.

Revision: ${up_revision}
Revises: ${down_revision | comma,n}
Created: ${create_date}
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Take back."""
    ${downgrades if downgrades else "pass"}
