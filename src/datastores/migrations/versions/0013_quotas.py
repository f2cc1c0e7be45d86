"""How much an organisation may keep, where that is not the platform's default.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

PLATFORM = "colloquy_platform"


def upgrade() -> None:
    op.add_column("tenants", sa.Column("quota_documents", sa.BigInteger(), nullable=True))
    op.add_column("tenants", sa.Column("quota_bytes", sa.BigInteger(), nullable=True))
    op.execute(f"GRANT UPDATE (quota_documents, quota_bytes) ON tenants TO {PLATFORM}")


def downgrade() -> None:
    op.execute(f"REVOKE UPDATE (quota_documents, quota_bytes) ON tenants FROM {PLATFORM}")
    op.drop_column("tenants", "quota_bytes")
    op.drop_column("tenants", "quota_documents")
