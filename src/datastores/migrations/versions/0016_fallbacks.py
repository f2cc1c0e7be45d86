"""Whom an assistant's answers are taken to when its own provider fails.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("assistants", sa.Column("fallback_providers", sa.ARRAY(sa.String()), nullable=True))


def downgrade() -> None:
    op.drop_column("assistants", "fallback_providers")
