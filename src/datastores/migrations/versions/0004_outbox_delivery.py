"""The outbox is delivered: attempts, the next try, the last error, and the platform's rights to do it.

A delivered entry is deleted, so there is no time of delivery any more.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PLATFORM = "colloquy_platform"
# An entry may be written where there is no tenant yet (a lost password), and is delivered across tenants.
RIGHTS = (
    "SELECT (tenant_id, id, topic, payload, created_at, attempts, next_try_at, last_error), "
    "INSERT (tenant_id, id, topic, payload), "
    "UPDATE (payload, attempts, next_try_at, last_error), "
    "DELETE"
)


def upgrade() -> None:
    op.execute("DELETE FROM outbox WHERE delivered_at IS NOT NULL")
    op.drop_index("ix_outbox_undelivered", "outbox")
    op.drop_column("outbox", "delivered_at")
    op.add_column("outbox", sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column(
        "outbox", sa.Column("next_try_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=True)
    )
    op.add_column("outbox", sa.Column("last_error", sa.String(), nullable=True))
    op.create_index(
        "ix_outbox_waiting",
        "outbox",
        ["topic", "next_try_at"],
        unique=False,
        postgresql_where=sa.text("next_try_at IS NOT NULL"),
    )
    op.execute(f"CREATE POLICY platform ON outbox TO {PLATFORM} USING (true) WITH CHECK (true)")
    op.execute(f"GRANT {RIGHTS} ON outbox TO {PLATFORM}")


def downgrade() -> None:
    op.execute(f"REVOKE ALL ON outbox FROM {PLATFORM}")
    op.execute("DROP POLICY platform ON outbox")
    op.drop_index("ix_outbox_waiting", "outbox")
    for column in ("last_error", "next_try_at", "attempts"):
        op.drop_column("outbox", column)
    op.add_column("outbox", sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_outbox_undelivered", "outbox", ["id"], unique=False, postgresql_where=sa.text("delivered_at IS NULL")
    )
