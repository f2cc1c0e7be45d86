"""Where a citation's quote stands in its page. Those that are there were stored without it.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("citations", sa.Column("start", sa.Integer()))
    op.add_column("citations", sa.Column("end", sa.Integer()))


def downgrade() -> None:
    op.drop_column("citations", "end")
    op.drop_column("citations", "start")
