"""Row-level security on every tenant table, and the rights of the application and platform roles.

Security is enabled, not forced: the owner must see all rows, or `pg_dump` and data migrations would miss some.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APP, PLATFORM = "colloquy_app", "colloquy_platform"
TENANT_TABLES = (
    "users",
    "assistants",
    "assistant_documents",
    "documents",
    "document_pages",
    "chunks",
    "embeddings",
    "conversations",
    "messages",
    "answers",
    "answer_attempts",
    "citations",
    "outbox",
)
# After a local setting ends its value is '', not NULL: NULLIF, or every query outside a door would be an error.
CURRENT_TENANT = "NULLIF(current_setting('colloquy.tenant_id', true), '')::uuid"
# What the platform role may do: find an account by its e-mail, found a tenant, look for forgotten work.
PLATFORM_RIGHTS = {
    "tenants": "SELECT, INSERT, DELETE",
    "users": "SELECT, INSERT",
    "assistants": "SELECT, INSERT",
    "answers": "SELECT (tenant_id, id, conversation_id, epoch, status, created_at)",
    "documents": "SELECT (tenant_id, id, epoch, status, heartbeat_at)",
}


def upgrade() -> None:
    op.execute(
        f"DO $$ BEGIN EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO {APP}', current_database()); "
        f"EXECUTE format('GRANT CONNECT ON DATABASE %I TO {PLATFORM}', current_database()); END $$"
    )
    op.execute(f"GRANT USAGE ON SCHEMA public TO {APP}, {PLATFORM}")
    for table in ("tenants", *TENANT_TABLES):
        column = "id" if table == "tenants" else "tenant_id"
        condition = f"{column} = {CURRENT_TENANT}"
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant_isolation ON {table} TO {APP} USING ({condition}) WITH CHECK ({condition})")
        rights = "SELECT, UPDATE" if table == "tenants" else "SELECT, INSERT, UPDATE, DELETE"
        # Partitions get no rights of their own: the only way to their rows is through the parent and its policy.
        op.execute(f"GRANT {rights} ON {table} TO {APP}")
    for table, rights in PLATFORM_RIGHTS.items():
        op.execute(f"CREATE POLICY platform ON {table} TO {PLATFORM} USING (true) WITH CHECK (true)")
        op.execute(f"GRANT {rights} ON {table} TO {PLATFORM}")


def downgrade() -> None:
    op.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {APP}, {PLATFORM}")
    for table in PLATFORM_RIGHTS:
        op.execute(f"DROP POLICY platform ON {table}")
    for table in ("tenants", *TENANT_TABLES):
        op.execute(f"DROP POLICY tenant_isolation ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.execute(f"REVOKE USAGE ON SCHEMA public FROM {APP}, {PLATFORM}")
    op.execute(
        f"DO $$ BEGIN EXECUTE format('REVOKE ALL ON DATABASE %I FROM {APP}, {PLATFORM}', current_database()); END $$"
    )
