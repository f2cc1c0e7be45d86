"""Which process writes an answer, and when each was last heard of: what says who has died where Redis cannot.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

PLATFORM = "colloquy_platform"


def upgrade() -> None:
    op.create_table(
        "answer_producers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_answer_producers"),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON answer_producers TO {PLATFORM}")
    op.add_column("answers", sa.Column("producer_id", sa.Uuid(), nullable=True))
    op.execute(f"GRANT SELECT (producer_id) ON answers TO {PLATFORM}")
    # Of attempts the sweep sees those alone that were given up in order.
    op.execute(
        f"CREATE POLICY platform ON answer_attempts FOR SELECT TO {PLATFORM} USING (finish_reason = 'HANDED_OVER')"
    )
    op.execute(f"GRANT SELECT (tenant_id, answer_id, epoch, finish_reason) ON answer_attempts TO {PLATFORM}")


def downgrade() -> None:
    op.execute(f"REVOKE ALL ON answer_attempts FROM {PLATFORM}")
    op.execute("DROP POLICY platform ON answer_attempts")
    op.drop_column("answers", "producer_id")
    op.drop_table("answer_producers")
