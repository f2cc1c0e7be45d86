"""What PostgreSQL's catalogue says: no table, key or right was forgotten."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from as_owner import AUDIT_LOG, TENANT_TABLES, contents, owner
from two_tenants import World

from app.embedded.account import account_for_postgres, installation
from core.settings import Settings
from datastores.postgres import APP_ROLE, PLATFORM_ROLE

PARTITIONS = [f"messages_p{part:02}" for part in range(16)]
# Right, and on which columns where not on all: what docs/operations.md says in words.
PLATFORM_RIGHTS = {
    "tenants": {
        "SELECT": "",
        "INSERT": "id, name, embedding_model_id, keep_originals",
        "UPDATE": "suspended_at, quota_documents, quota_bytes",
    },
    "users": {"SELECT": "", "INSERT": ""},
    "assistants": {"SELECT": "", "INSERT": ""},
    "answers": {"SELECT": "tenant_id, id, conversation_id, epoch, status, created_at, stop_requested_at, producer_id"},
    "answer_attempts": {"SELECT": "tenant_id, answer_id, epoch, finish_reason"},
    "answer_producers": {"SELECT": "", "INSERT": "", "UPDATE": "", "DELETE": ""},
    "documents": {"SELECT": "tenant_id, id, epoch, status, heartbeat_at"},
    "reembeddings": {"SELECT": "tenant_id, id, epoch, status, leftovers, heartbeat_at"},
    "outbox": {
        "SELECT": "tenant_id, id, topic, payload, created_at, attempts, next_try_at, last_error",
        "INSERT": "tenant_id, id, topic, payload",
        "UPDATE": "payload, attempts, next_try_at, last_error",
        "DELETE": "",
    },
    # It writes hashes of secrets, and reads none.
    "one_time_tokens": {
        "SELECT": "tenant_id, id, user_id, purpose, created_at, expires_at",
        "INSERT": "tenant_id, id, user_id, purpose, token_hash, expires_at",
        "UPDATE": "id, token_hash, created_at, expires_at",
        "DELETE": "",
    },
    "invitations": {"SELECT": "expires_at", "DELETE": ""},
    "prompts": {"INSERT": "tenant_id, id, name, description, shipped_key, newest"},
    "prompt_versions": {"INSERT": "tenant_id, id, prompt_id, number, text, shipped"},
    "trusted_documents": {"SELECT": "", "INSERT": "", "DELETE": ""},
    AUDIT_LOG: {
        "INSERT": "tenant_id, id, at, actor_id, session_id, api_key_id, action, targets, address, outcome, code, "
        "request_id, details"
    },
}
APP_COLUMNS = {"tenants": {"UPDATE": "name, embedding_model_id, keep_originals"}}
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


async def _rows(settings: Settings, query: str, *arguments: Any) -> list[asyncpg.Record]:
    async with owner(settings) as connection:
        return await connection.fetch(query, *arguments)  # type: ignore[no-any-return]


async def test_the_models_name_every_table_that_has_a_tenant(settings: Settings) -> None:
    found = await _rows(
        settings,
        """SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition""",
    )
    assert sorted(row[0] for row in found) == TENANT_TABLES


async def test_every_tenant_table_has_rows_of_both_tenants_in_these_tests(world: World, settings: Settings) -> None:
    for tenant in (world.first, world.second):
        assert [
            table for table, (rows, _) in (await contents(settings, tenant.id, audit_log=True)).items() if rows == 0
        ] == []


async def test_row_level_security_is_enabled_and_not_forced_with_a_policy_both_ways(settings: Settings) -> None:
    for table in ["tenants", *TENANT_TABLES]:
        ((enabled, forced),) = await _rows(
            settings, "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = $1::regclass", table
        )
        assert (enabled, forced) == (True, False), table
        policies = await _rows(
            settings,
            """SELECT permissive, cmd, qual, with_check FROM pg_policies
               WHERE tablename = $1 AND roles = ARRAY[$2]::name[]""",
            table,
            APP_ROLE,
        )
        column = "id" if table == "tenants" else "tenant_id"
        condition = f"({column} = (NULLIF(current_setting('colloquy.tenant_id'::text, true), ''::text))::uuid)"
        assert [tuple(policy) for policy in policies] == [("PERMISSIVE", "ALL", condition, condition)], table


async def test_no_policy_is_for_everybody_and_the_platform_s_are_on_few_tables(settings: Settings) -> None:
    found = await _rows(settings, "SELECT DISTINCT tablename, unnest(roles) FROM pg_policies WHERE $1 <> ''", APP_ROLE)
    others = {(table, role) for table, role in found if role != APP_ROLE}
    assert others == {(table, PLATFORM_ROLE) for table in PLATFORM_RIGHTS if table in ("tenants", *TENANT_TABLES)}


async def test_every_key_between_tenant_tables_begins_with_the_tenant(settings: Settings) -> None:
    found = await _rows(
        settings,
        """SELECT k.conname, k.contype, k.conrelid::regclass::text AS source, k.confrelid::regclass::text AS target,
             (SELECT array_agg(a.attname::text ORDER BY n) FROM unnest(k.conkey) WITH ORDINALITY AS c(number, n)
              JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.number) AS columns,
             (SELECT array_agg(a.attname::text ORDER BY n) FROM unnest(k.confkey) WITH ORDINALITY AS c(number, n)
              JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = c.number) AS targets
           FROM pg_constraint k JOIN pg_class r ON r.oid = k.conrelid
           WHERE k.contype IN ('p', 'f') AND r.relname = ANY($1) AND k.conparentid = 0""",
        TENANT_TABLES,
    )
    primary = {row["source"]: row["columns"] for row in found if row["contype"] == b"p"}
    assert primary == {table: ["tenant_id", "id"] for table in TENANT_TABLES}
    foreign = [row for row in found if row["contype"] == b"f"]
    # The audit log outlives all that it names.
    assert {row["source"] for row in foreign} == set(TENANT_TABLES) - {AUDIT_LOG}
    for row in foreign:
        if row["target"] == "tenants":
            assert row["columns"] == ["tenant_id"], row["conname"]
        else:
            assert (row["columns"][0], row["targets"]) == ("tenant_id", ["tenant_id", "id"]), row["conname"]
            assert len(row["columns"]) == 2


async def test_unique_keys_are_within_the_tenant_but_for_the_e_mail(settings: Settings) -> None:
    found = await _rows(
        settings,
        """SELECT i.indrelid::regclass::text || '.' || a.attname FROM pg_index i
           JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
           JOIN pg_class c ON c.oid = i.indrelid
           WHERE i.indisunique AND NOT c.relispartition AND i.indrelid::regclass::text = ANY($1)""",
        TENANT_TABLES,
    )
    assert {row[0] for row in found if not row[0].endswith(".tenant_id")} == {"users.email"}


async def test_messages_have_sixteen_partitions_without_rights_of_their_own(settings: Settings) -> None:
    found = await _rows(
        settings,
        """SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound, c.relacl
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
           WHERE i.inhparent = 'messages'::regclass ORDER BY 1""",
    )
    assert [row["relname"] for row in found] == PARTITIONS
    assert [row["bound"] for row in found] == [
        f"FOR VALUES WITH (modulus 16, remainder {number})" for number in range(16)
    ]
    ((strategy,),) = await _rows(settings, "SELECT pg_get_partkeydef('messages'::regclass)")
    assert strategy == "HASH (tenant_id)"
    for role in (APP_ROLE, PLATFORM_ROLE):
        for right in RIGHTS:
            allowed = await _rows(
                settings,
                "SELECT p FROM unnest($1::text[]) p WHERE has_table_privilege($2, p, $3)",
                PARTITIONS,
                role,
                right,
            )
            assert allowed == [], (role, right)


async def test_the_audit_log_has_a_partition_to_each_month_without_rights_of_its_own(settings: Settings) -> None:
    found = await _rows(
        settings,
        """SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
           WHERE i.inhparent = 'audit_log'::regclass ORDER BY 1""",
    )
    months = await _rows(
        settings,
        """SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => n), 'YYYY_MM')
           FROM generate_series(0, 2) AS n""",
    )
    assert [row["relname"] for row in found] == [*(f"audit_log_{month}" for (month,) in months), "audit_log_default"]
    assert found[-1]["bound"] == "DEFAULT"
    for role in (APP_ROLE, PLATFORM_ROLE):
        for right in RIGHTS:
            names = [row["relname"] for row in found]
            allowed = await _rows(
                settings, "SELECT p FROM unnest($1::text[]) p WHERE has_table_privilege($2, p, $3)", names, role, right
            )
            assert allowed == [], (role, right)


async def test_the_platform_adds_to_the_audit_log_and_cannot_read_it(settings: Settings) -> None:
    granted = await _rows(
        settings,
        """SELECT DISTINCT r FROM unnest($1::text[]) r, pg_attribute a WHERE a.attrelid = 'audit_log'::regclass
           AND a.attnum > 0 AND r = ANY('{SELECT,INSERT,UPDATE,REFERENCES}')
           AND has_column_privilege($2, 'audit_log', a.attname, r)
           UNION SELECT r FROM unnest($1::text[]) r WHERE has_table_privilege($2, 'audit_log', r)""",
        RIGHTS,
        PLATFORM_ROLE,
    )
    assert {row[0] for row in granted} == {"INSERT"}


async def test_the_application_has_no_more_rights_than_it_uses(settings: Settings) -> None:
    tables = await _rows(settings, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    expected: dict[str, set[str]] = {table: {"SELECT", "INSERT", "UPDATE", "DELETE"} for table in TENANT_TABLES}
    expected["tenants"] = {"SELECT"}  # and UPDATE of some columns
    expected[AUDIT_LOG] = {"SELECT", "INSERT"}  # nobody changes or removes what has been done
    for (table,) in tables:
        granted = await _rows(
            settings, "SELECT r FROM unnest($1::text[]) r WHERE has_table_privilege($2, $3, r)", RIGHTS, APP_ROLE, table
        )
        assert {row[0] for row in granted} == expected.get(table, set()), table


async def test_no_partition_of_any_table_has_rights_of_its_own(settings: Settings) -> None:
    found = await _rows(
        settings,
        """SELECT c.relname, c.relacl, (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid
             AND a.attacl IS NOT NULL) AS columns FROM pg_class c WHERE c.relispartition AND c.relkind IN ('r', 'p')""",
    )
    assert {row["relname"] for row in found} >= set(PARTITIONS)
    for row in found:
        granted = {str(one).partition("=")[0] for one in row["relacl"] or ()}
        assert (granted & {APP_ROLE, PLATFORM_ROLE, ""}, row["columns"]) == (set(), 0), row["relname"]


async def _granted(settings: Settings, role: str) -> dict[str, dict[str, str]]:
    """Per table the role's rights, with the columns of those that it has on some columns alone."""
    whole = await _rows(
        settings,
        """SELECT table_name, privilege_type, '' AS columns FROM information_schema.table_privileges
           WHERE grantee = $1 AND table_schema = 'public'""",
        role,
    )
    parts = await _rows(
        settings,
        """SELECT c.relname AS table_name, r.privilege_type,
                  string_agg(a.attname::text, ', ' ORDER BY a.attname) AS columns
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid, aclexplode(a.attacl) r
           WHERE c.relnamespace = 'public'::regnamespace AND r.grantee = $1::regrole GROUP BY 1, 2""",
        role,
    )
    found: dict[str, dict[str, str]] = {}
    for row in (*whole, *parts):
        found.setdefault(row["table_name"], {})[row["privilege_type"]] = row["columns"]
    return found


def _sorted(rights: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    return {
        table: {right: ", ".join(sorted(columns.split(", "))) for right, columns in on.items()}
        for table, on in rights.items()
    }


async def test_the_platform_s_role_has_the_rights_that_are_documented_and_no_other(settings: Settings) -> None:
    assert await _granted(settings, PLATFORM_ROLE) == _sorted(PLATFORM_RIGHTS)


async def test_the_application_s_rights_on_columns_are_few(settings: Settings) -> None:
    granted = await _granted(settings, APP_ROLE)
    parts = {table: {right: columns for right, columns in on.items() if columns} for table, on in granted.items()}
    assert {table: on for table, on in parts.items() if on} == _sorted(APP_COLUMNS)


async def test_a_data_migration_changes_the_rows_of_every_tenant(world: World, settings: Settings) -> None:
    rows = [await contents(settings, tenant.id, audit_log=True) for tenant in (world.first, world.second)]
    async with owner(settings) as connection:
        for table in ["tenants", *TENANT_TABLES]:
            expected = sum(one[table][0] for one in rows)
            assert await connection.execute(f'UPDATE "{table}" SET id = id') == f"UPDATE {expected}", table


@pytest.mark.parametrize("role", [APP_ROLE, PLATFORM_ROLE])
async def test_neither_role_can_become_another_or_make_tables(settings: Settings, role: str) -> None:
    ((able, schema),) = await _rows(
        settings,
        """SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication,
                  has_schema_privilege($1, 'public', 'CREATE') FROM pg_roles WHERE rolname = $1::name""",
        role,
    )
    assert (able, schema) == (False, False)
    assert await _rows(settings, "SELECT 1 FROM pg_auth_members WHERE member = $1::regrole", role) == []


async def test_functions_that_run_as_the_owner_have_a_fixed_search_path_and_are_not_for_everybody(
    settings: Settings,
) -> None:
    found = await _rows(
        settings,
        """SELECT proname, proconfig, has_function_privilege('public', oid, 'EXECUTE') AS everybody,
                  has_function_privilege($1, oid, 'EXECUTE') AS application,
                  has_function_privilege($2, oid, 'EXECUTE') AS platform
           FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace""",
        APP_ROLE,
        PLATFORM_ROLE,
    )
    assert sorted(tuple(row) for row in found) == [
        ("ensure_audit_partitions", ["search_path=public, pg_temp"], False, False, True),
        ("search_chunks", ["search_path=public, pg_temp"], False, True, False),
    ]


async def test_the_owner_s_backup_has_the_rows_of_every_tenant(world: World, settings: Settings) -> None:
    program = installation(account_for_postgres()) / "bin" / "pg_dump"
    assert settings.database_owner_url is not None
    process = await asyncio.create_subprocess_exec(
        program, "--dbname", settings.database_owner_url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    dump, complaints = await process.communicate()
    assert (process.returncode, complaints) == (0, b"")
    for tenant in (world.first, world.second):
        for text in (
            tenant.business.email,
            tenant.user.email,
            tenant.document_text.decode(),
            f"Uma of {tenant.subject}",
        ):
            assert text.encode() in dump
    async with owner(settings) as connection:
        assert await connection.fetchval("SELECT count(DISTINCT tenant_id) FROM messages") == 2
