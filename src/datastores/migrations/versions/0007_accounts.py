"""One-time tokens and invitations; since when a person's e-mail address is known to be theirs.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

APP, PLATFORM = "colloquy_app", "colloquy_platform"
CURRENT_TENANT = "NULLIF(current_setting('colloquy.tenant_id', true), '')::uuid"
# A lost password begins with an address and no tenant; what has expired is swept across tenants.
PLATFORM_RIGHTS = {
    "one_time_tokens": "SELECT (tenant_id, id, user_id, purpose, created_at, expires_at), "
    "INSERT (tenant_id, id, user_id, purpose, token_hash, expires_at), "
    "UPDATE (id, token_hash, created_at, expires_at), DELETE",
    "invitations": "SELECT (expires_at), DELETE",
}


def _create(table: str, *columns: sa.Column[object], person: str, unique: tuple[str, ...]) -> None:
    op.create_table(
        table,
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        *columns,
        sa.Column(person, sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", person],
            ["users.tenant_id", "users.id"],
            name=f"fk_{table}_tenant_id_{person}",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=f"pk_{table}"),
        sa.UniqueConstraint("tenant_id", *unique, name=f"uq_{table}_tenant_id_{'_'.join(unique)}"),
    )
    op.create_index(f"ix_{table}_expires_at", table, ["expires_at"])


def upgrade() -> None:
    op.add_column("users", sa.Column("email_verified_at", sa.DateTime(timezone=True), nullable=True))
    _create(
        "one_time_tokens",
        sa.Column("purpose", sa.String(length=32), nullable=False),
        person="user_id",
        unique=("user_id", "purpose"),
    )
    _create(
        "invitations",
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("role", sa.String(length=32), nullable=False),
        person="invited_by_id",
        unique=("email",),
    )
    op.create_index("ix_invitations_tenant_id_invited_by_id", "invitations", ["tenant_id", "invited_by_id"])
    condition = f"tenant_id = {CURRENT_TENANT}"
    for table, rights in PLATFORM_RIGHTS.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant_isolation ON {table} TO {APP} USING ({condition}) WITH CHECK ({condition})")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {APP}")
        op.execute(f"CREATE POLICY platform ON {table} TO {PLATFORM} USING (true) WITH CHECK (true)")
        op.execute(f"GRANT {rights} ON {table} TO {PLATFORM}")


def downgrade() -> None:
    for table in PLATFORM_RIGHTS:
        op.drop_table(table)
    op.drop_column("users", "email_verified_at")
