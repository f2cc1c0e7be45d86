"""How long an assistant's prompts may be, and whether its model is asked twice.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("assistants", sa.Column("context_tokens", sa.Integer()))
    op.add_column("assistants", sa.Column("cache_answers", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.alter_column("assistants", "cache_answers", server_default=None)


def downgrade() -> None:
    op.drop_column("assistants", "cache_answers")
    op.drop_column("assistants", "context_tokens")
