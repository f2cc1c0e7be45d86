"""The audit log: append-only by rights, a partition to each month.

The id is a UUIDv7, so a month is a range of ids, and the table keeps the key that every table of a tenant has.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

APP, PLATFORM = "colloquy_app", "colloquy_platform"
CURRENT_TENANT = "NULLIF(current_setting('colloquy.tenant_id', true), '')::uuid"
COLUMNS = (
    "tenant_id, id, at, actor_id, session_id, api_key_id, action, targets, address, outcome, code, request_id, details"
)
# Neither role may make tables: the function does, as the owner, and takes no argument that could lead it elsewhere.
# Rows that found no month are in the default partition; they move into their month before it is attached, which would
# be refused otherwise. 20260131 is the lock's name: two workers must not make one month at once.
ENSURE = """
CREATE FUNCTION ensure_audit_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  made integer := 0;
  month timestamp;
  name text;
  bounds uuid[];
BEGIN
  PERFORM pg_advisory_xact_lock(20260131);
  FOR ahead IN 0..2 LOOP
    month := date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead);
    name := 'audit_log_' || to_char(month, 'YYYY_MM');
    CONTINUE WHEN to_regclass(name) IS NOT NULL;
    bounds := ARRAY(
      SELECT (lpad(to_hex((extract(epoch FROM edge) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
      FROM unnest(ARRAY[month, month + interval '1 month']) AS edge ORDER BY edge);
    EXECUTE format('CREATE TABLE %I (LIKE audit_log)', name);
    LOCK TABLE audit_log_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('WITH moved AS (DELETE FROM audit_log_default WHERE id >= %L AND id < %L RETURNING *) '
                   'INSERT INTO %I SELECT * FROM moved', bounds[1], bounds[2], name);
    EXECUTE format('ALTER TABLE audit_log ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   name, bounds[1], bounds[2]);
    made := made + 1;
  END LOOP;
  RETURN made;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("api_key_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("targets", ARRAY(sa.String()), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("details", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_audit_log"),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index("ix_audit_log_tenant_id_at_id", "audit_log", ["tenant_id", "at", "id"])
    op.execute("CREATE TABLE audit_log_default PARTITION OF audit_log DEFAULT")
    op.execute(ENSURE)
    op.execute("SELECT ensure_audit_partitions()")
    op.execute("REVOKE ALL ON FUNCTION ensure_audit_partitions() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION ensure_audit_partitions() TO {PLATFORM}")
    condition = f"tenant_id = {CURRENT_TENANT}"
    op.execute("ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant_isolation ON audit_log TO {APP} USING ({condition}) WITH CHECK ({condition})")
    op.execute(f"GRANT SELECT, INSERT ON audit_log TO {APP}")
    op.execute(f"CREATE POLICY platform ON audit_log FOR INSERT TO {PLATFORM} WITH CHECK (true)")
    op.execute(f"GRANT INSERT ({COLUMNS}) ON audit_log TO {PLATFORM}")


def downgrade() -> None:
    op.execute("DROP FUNCTION ensure_audit_partitions()")
    op.drop_table("audit_log")
