"""Documents that clients may name by their hash. They belong to the platform, not to a tenant.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

PLATFORM = "colloquy_platform"


def upgrade() -> None:
    op.create_table(
        "trusted_documents",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_trusted_documents"),
    )
    op.execute(f"GRANT SELECT, INSERT, DELETE ON trusted_documents TO {PLATFORM}")


def downgrade() -> None:
    op.drop_table("trusted_documents")
