"""What an administrator of the platform needs across organisations: their list, in its order.

Revision ID: 0008
Revises: 0006
"""

from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None

PLATFORM = "colloquy_platform"


def upgrade() -> None:
    op.create_index("ix_tenants_created_at_id", "tenants", ["created_at", "id"])
    # A taken e-mail address rolls its organisation back: nobody deletes one any more.
    op.execute(f"REVOKE DELETE ON tenants FROM {PLATFORM}")
    op.execute(f"REVOKE INSERT ON tenants FROM {PLATFORM}")
    op.execute(f"GRANT INSERT (id, name, embedding_model_id, keep_originals) ON tenants TO {PLATFORM}")


def downgrade() -> None:
    op.execute(f"REVOKE INSERT (id, name, embedding_model_id, keep_originals) ON tenants FROM {PLATFORM}")
    op.execute(f"GRANT INSERT, DELETE ON tenants TO {PLATFORM}")
    op.drop_index("ix_tenants_created_at_id", "tenants")
