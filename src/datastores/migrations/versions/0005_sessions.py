"""Sessions with their refresh tokens, API keys; suspension of people and tenants.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

APP, PLATFORM = "colloquy_app", "colloquy_platform"
TABLES = ("sessions", "refresh_tokens", "api_keys")
CURRENT_TENANT = "NULLIF(current_setting('colloquy.tenant_id', true), '')::uuid"


def _moment(name: str, *, nullable: bool) -> sa.Column[object]:
    default = None if nullable else sa.text("now()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _expiry() -> sa.Column[object]:
    return sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False)


def _create(table: str, *columns: sa.Column[object], references: str, key: str) -> None:
    """A tenant's table, with one composite key to the row it belongs to."""
    op.create_table(
        table,
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            ["tenant_id", key],
            [f"{references}.tenant_id", f"{references}.id"],
            name=f"fk_{table}_tenant_id_{key}",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=f"pk_{table}"),
    )
    op.create_index(f"ix_{table}_tenant_id_{key}", table, ["tenant_id", key])


def upgrade() -> None:
    op.add_column("tenants", _moment("suspended_at", nullable=True))
    op.add_column("users", _moment("suspended_at", nullable=True))
    _create(
        "sessions",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        _moment("created_at", nullable=False),
        _moment("last_seen_at", nullable=False),
        _expiry(),
        _moment("revoked_at", nullable=True),
        sa.Column("revocation", sa.String(length=32), nullable=True),
        references="users",
        key="user_id",
    )
    _create(
        "refresh_tokens",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        _moment("created_at", nullable=False),
        _moment("used_at", nullable=True),
        references="sessions",
        key="session_id",
    )
    _create(
        "api_keys",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        _moment("created_at", nullable=False),
        _moment("last_used_at", nullable=True),
        _moment("revoked_at", nullable=True),
        references="users",
        key="user_id",
    )
    condition = f"tenant_id = {CURRENT_TENANT}"
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant_isolation ON {table} TO {APP} USING ({condition}) WITH CHECK ({condition})")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {APP}")
    # An administrator of the platform suspends tenants; a tenant does not lift its own suspension.
    op.execute(f"REVOKE UPDATE ON tenants FROM {APP}")
    op.execute(f"GRANT UPDATE (name, embedding_model_id, keep_originals) ON tenants TO {APP}")
    op.execute(f"GRANT UPDATE (suspended_at) ON tenants TO {PLATFORM}")


def downgrade() -> None:
    op.execute(f"REVOKE UPDATE (suspended_at) ON tenants FROM {PLATFORM}")
    op.execute(f"REVOKE UPDATE (name, embedding_model_id, keep_originals) ON tenants FROM {APP}")
    op.execute(f"GRANT UPDATE ON tenants TO {APP}")
    for table in reversed(TABLES):
        op.drop_table(table)
    op.drop_column("users", "suspended_at")
    op.drop_column("tenants", "suspended_at")
