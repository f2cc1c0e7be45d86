"""The prompt library, and what of it an assistant uses.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

APP, PLATFORM = "colloquy_app", "colloquy_platform"
CURRENT_TENANT = "NULLIF(current_setting('colloquy.tenant_id', true), '')::uuid"
# Whoever founds an organisation gives it its library.
PLATFORM_RIGHTS = {
    "prompts": "INSERT (tenant_id, id, name, description, shipped_key, newest)",
    "prompt_versions": "INSERT (tenant_id, id, prompt_id, number, text, shipped)",
}


def _create(table: str, *columns: sa.Column[object] | sa.Constraint) -> None:
    op.create_table(
        table,
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        *columns,
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=f"pk_{table}"),
    )
    condition = f"tenant_id = {CURRENT_TENANT}"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant_isolation ON {table} TO {APP} USING ({condition}) WITH CHECK ({condition})")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {APP}")
    op.execute(f"CREATE POLICY platform ON {table} TO {PLATFORM} USING (true) WITH CHECK (true)")
    op.execute(f"GRANT {PLATFORM_RIGHTS[table]} ON {table} TO {PLATFORM}")


def upgrade() -> None:
    _create(
        "prompts",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("shipped_key", sa.String(), nullable=True),
        sa.Column("newest", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_prompts_tenant_id", ondelete="CASCADE"),
        sa.UniqueConstraint("tenant_id", "shipped_key", name="uq_prompts_tenant_id_shipped_key"),
    )
    _create(
        "prompt_versions",
        sa.Column("prompt_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("shipped", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "prompt_id"],
            ["prompts.tenant_id", "prompts.id"],
            name="fk_prompt_versions_tenant_id_prompt_id",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("tenant_id", "prompt_id", "number", name="uq_prompt_versions_tenant_id_prompt_id_number"),
    )
    op.add_column("assistants", sa.Column("prompt_id", sa.Uuid(), nullable=True))
    op.add_column("assistants", sa.Column("prompt_version", sa.Integer(), nullable=True))
    op.add_column("assistants", sa.Column("language", sa.String(), nullable=True))
    op.create_foreign_key(
        "fk_assistants_tenant_id_prompt_id",
        "assistants",
        "prompts",
        ["tenant_id", "prompt_id"],
        ["tenant_id", "id"],
        ondelete="SET NULL (prompt_id)",
    )


def downgrade() -> None:
    op.drop_constraint("fk_assistants_tenant_id_prompt_id", "assistants")
    for column in ("language", "prompt_version", "prompt_id"):
        op.drop_column("assistants", column)
    op.drop_table("prompt_versions")
    op.drop_table("prompts")
