"""What a person can do to an answer, and whose turn it is: stopping, another answer, which one is selected, versions.

A conversation's version goes up by one with each change of what is in it, and the change carries the number.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

PLATFORM = "colloquy_platform"
VERSIONS = (("conversations", "version"), ("conversations", "updated_version"), ("messages", "version"))


def upgrade() -> None:
    for table, column in (*VERSIONS, ("answers", "version"), ("answers", "turn")):
        # A default while the rows that are there get theirs; what is added later says its own.
        op.add_column(table, sa.Column(column, sa.BigInteger(), nullable=False, server_default="0"))
        op.alter_column(table, column, server_default=None)
    op.execute("UPDATE conversations SET version = last_sequence")
    op.execute(
        "UPDATE answers SET turn = m.sequence FROM messages m "
        "WHERE m.tenant_id = answers.tenant_id AND m.id = answers.question_id"
    )
    op.add_column("answers", sa.Column("stop_requested_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("answers", sa.Column("requested_by_id", sa.Uuid(), nullable=True))
    op.add_column("answers", sa.Column("idempotency_key", sa.String(), nullable=True))
    op.create_foreign_key(
        "fk_answers_tenant_id_requested_by_id",
        "answers",
        "users",
        ["tenant_id", "requested_by_id"],
        ["tenant_id", "id"],
        ondelete="SET NULL (requested_by_id)",
    )
    op.create_unique_constraint(
        "uq_answers_tenant_id_requested_by_id_idempotency_key",
        "answers",
        ["tenant_id", "requested_by_id", "idempotency_key"],
    )
    op.execute(
        "UPDATE answers SET selected = false FROM answers newer WHERE newer.tenant_id = answers.tenant_id "
        "AND newer.question_id = answers.question_id AND newer.selected AND newer.id > answers.id"
    )
    op.create_index(
        "uq_answers_selected",
        "answers",
        ["tenant_id", "question_id"],
        unique=True,
        postgresql_where=sa.text("selected"),
    )
    op.drop_index("ix_answers_tenant_id_conversation_id", "answers")
    op.create_index("ix_answers_tenant_id_conversation_id_version", "answers", _CHANGED)
    op.create_index("ix_messages_tenant_id_conversation_id_version", "messages", _CHANGED)
    op.execute(f"GRANT SELECT (stop_requested_at) ON answers TO {PLATFORM}")


_CHANGED = ["tenant_id", "conversation_id", "version"]


def downgrade() -> None:
    op.drop_index("ix_messages_tenant_id_conversation_id_version", "messages")
    op.drop_index("ix_answers_tenant_id_conversation_id_version", "answers")
    op.create_index("ix_answers_tenant_id_conversation_id", "answers", ["tenant_id", "conversation_id"])
    op.drop_index("uq_answers_selected", "answers")
    op.drop_constraint("uq_answers_tenant_id_requested_by_id_idempotency_key", "answers")
    op.drop_constraint("fk_answers_tenant_id_requested_by_id", "answers")
    for column in ("idempotency_key", "requested_by_id", "stop_requested_at", "turn", "version"):
        op.drop_column("answers", column)
    for table, column in VERSIONS:
        op.drop_column(table, column)
