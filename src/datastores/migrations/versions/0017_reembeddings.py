"""Where an organisation stands on its way into another vector space.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

APP, PLATFORM = "colloquy_app", "colloquy_platform"
CURRENT_TENANT = "NULLIF(current_setting('colloquy.tenant_id', true), '')::uuid"


def upgrade() -> None:
    op.create_table(
        "reembeddings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("leftovers", sa.Boolean(), nullable=False),
        sa.Column("chunks_done", sa.Integer(), nullable=False),
        sa.Column("chunks_total", sa.Integer(), nullable=False),
        sa.Column("failure_code", sa.String(length=32), nullable=True),
        sa.Column("failure_message", sa.String(), nullable=True),
        sa.Column("failure_retryable", sa.Boolean(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_reembeddings_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_reembeddings"),
        sa.UniqueConstraint("tenant_id", name="uq_reembeddings_tenant_id"),
    )
    op.create_index(
        "ix_reembeddings_unfinished",
        "reembeddings",
        ["heartbeat_at"],
        postgresql_where=sa.text("status = 'RUNNING' OR leftovers"),
    )
    op.execute("ALTER TABLE reembeddings ENABLE ROW LEVEL SECURITY")
    condition = f"tenant_id = {CURRENT_TENANT}"
    op.execute(f"CREATE POLICY tenant_isolation ON reembeddings TO {APP} USING ({condition}) WITH CHECK ({condition})")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON reembeddings TO {APP}")
    # Whose worker has died is swept across tenants.
    op.execute(f"CREATE POLICY platform ON reembeddings TO {PLATFORM} USING (true) WITH CHECK (true)")
    op.execute(f"GRANT SELECT (tenant_id, id, epoch, status, leftovers, heartbeat_at) ON reembeddings TO {PLATFORM}")


def downgrade() -> None:
    op.drop_table("reembeddings")
