"""Under a tenant's door, in plain SQL without a WHERE: nothing of another tenant's is seen, changed or pointed at."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from as_owner import AUDIT_LOG, TENANT_TABLES, contents, owner
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel
from two_tenants import World

from core.ids import TenantId, new_id
from core.settings import Settings
from datastores.postgres import Postgres, Purpose

ROW_LEVEL_SECURITY, FOREIGN_KEY = "42501", "23503"
CHANGEABLE = [table for table in TENANT_TABLES if table != AUDIT_LOG]
POINTERS = [
    (table, constraint.columns.keys()[1], constraint.referred_table.name)
    for table in TENANT_TABLES
    for constraint in sorted(SQLModel.metadata.tables[table].foreign_key_constraints, key=lambda c: str(c.name))
    if len(constraint.columns) == 2
]

_PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_log'::regclass"


class Doors:
    """One pooled connection, which has just served the other tenant."""

    def __init__(self, settings: Settings, postgres: Postgres, theirs: TenantId, mine: TenantId) -> None:
        self.settings, self.postgres = settings, postgres
        self.theirs, self.mine = theirs, mine
        self.backends: set[int] = set()

    async def serve_the_other(self) -> None:
        """Use the connection for the other tenant, in a transaction that commits and in one that rolls back."""
        async with self.postgres.write(self.theirs) as tx:
            self.backends.add(await tx.scalar(sa.text("SELECT pg_backend_pid()")))
            assert await tx.scalar(sa.text("SELECT count(*) FROM messages")) > 0
        with suppress(ZeroDivisionError):
            async with self.postgres.write(self.theirs) as tx:
                await tx.execute(sa.text("UPDATE documents SET name = 'never kept'"))
                raise ZeroDivisionError

    async def row(self, table: str, tenant_id: UUID) -> dict[str, Any]:
        """One of the tenant's rows, as JSON has it."""
        async with owner(self.settings) as connection:
            text = await connection.fetchval(
                f"SELECT to_jsonb(t) FROM {table} t WHERE tenant_id = $1 ORDER BY id LIMIT 1", tenant_id
            )
        return json.loads(text)  # type: ignore[no-any-return]

    async def write(self, statement: str, parameters: dict[str, Any]) -> int:
        """Run one statement in a transaction of its own at my door; how many rows it changed."""
        async with self.postgres.write(self.mine) as tx:
            return await tx.execute(sa.text(statement), parameters)

    async def refused(self, statement: str, **parameters: Any) -> str:
        """The SQLSTATE with which my door refuses the statement; nothing may have changed."""
        before = await contents(self.settings)
        async with self.postgres.read(self.mine) as read:
            self.backends.add(await read.scalar(sa.text("SELECT pg_backend_pid()")))
        with pytest.raises(DBAPIError) as caught:
            await self.write(statement, parameters)
        assert await contents(self.settings) == before
        state: str = caught.value.orig.sqlstate  # type: ignore[union-attr]
        return state


@pytest.fixture
async def doors(world: World, settings: Settings) -> AsyncIterator[Doors]:
    """Everything in a test runs on the same server process, right after it has worked for the other tenant."""
    one_connection = settings.model_copy(update={"database_pool_size": 1, "database_pool_overflow": 0})
    postgres = Postgres(one_connection)
    doors = Doors(settings, postgres, theirs=world.first.id, mine=world.second.id)
    await doors.serve_the_other()
    yield doors
    await postgres.aclose()
    assert len(doors.backends) == 1


async def _counts(settings: Settings, tenant_id: UUID) -> Mapping[str, int]:
    return {table: rows for table, (rows, _) in (await contents(settings, tenant_id, audit_log=True)).items()}


def _insert(table: str) -> str:
    return f"INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, CAST(:row AS jsonb))).*".replace(
        "::", r"\:\:"
    )


def _new(row: dict[str, Any], **changes: Any) -> str:
    """A copy of the row that no unique key forbids."""
    fresh: dict[str, Any] = {"id": new_id().hex, "email": f"{new_id().hex}@example.test", "sha256": new_id().hex * 2}
    fresh |= dict.fromkeys(("sequence", "ordinal", "number", "marker", "epoch"), 10000)
    fresh |= {"idempotency_key": None, "selected": False}
    return json.dumps(row | {name: value for name, value in fresh.items() if name in row} | changes)


async def test_every_table_shows_only_the_tenant_s_rows(doors: Doors) -> None:
    expected = await _counts(doors.settings, doors.mine)
    async with doors.postgres.read(doors.mine) as tx:
        doors.backends.add(await tx.scalar(sa.text("SELECT pg_backend_pid()")))
        for table in TENANT_TABLES:
            rows = await tx.rows(sa.text(f"SELECT tenant_id FROM {table}"))
            assert {row[0] for row in rows} == {doors.mine}, table
            assert len(rows) == expected[table]
        assert [row[0] for row in await tx.rows(sa.text("SELECT id FROM tenants"))] == [doors.mine]


async def test_outside_of_a_door_nothing_is_seen(doors: Doors) -> None:
    async with doors.postgres.engine.connect() as connection:
        doors.backends.add(await connection.scalar(sa.text("SELECT pg_backend_pid()")))
        for table in ["tenants", *TENANT_TABLES]:
            assert await connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) == 0, table


@pytest.mark.parametrize("table", CHANGEABLE)
async def test_an_update_without_a_condition_touches_only_the_tenant_s_rows(doors: Doors, table: str) -> None:
    theirs, mine = await contents(doors.settings, doors.theirs), await _counts(doors.settings, doors.mine)
    async with doors.postgres.write(doors.mine) as tx:
        assert await tx.execute(sa.text(f"UPDATE {table} SET id = id")) == mine[table]
    assert await contents(doors.settings, doors.theirs) == theirs


@pytest.mark.parametrize("table", CHANGEABLE)
async def test_a_delete_without_a_condition_removes_only_the_tenant_s_rows(doors: Doors, table: str) -> None:
    theirs, mine = await contents(doors.settings, doors.theirs), await _counts(doors.settings, doors.mine)
    async with doors.postgres.write(doors.mine) as tx:
        assert await tx.execute(sa.text(f"DELETE FROM {table}")) == mine[table]
    assert await contents(doors.settings, doors.theirs) == theirs
    assert (await _counts(doors.settings, doors.mine))[table] == 0


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_a_row_with_the_other_tenant_s_id_is_refused(doors: Doors, table: str) -> None:
    copied = _new(await doors.row(table, doors.theirs))
    assert await doors.refused(_insert(table), row=copied) == ROW_LEVEL_SECURITY
    moved = f"UPDATE {table} SET tenant_id = :tenant"
    assert await doors.refused(moved, tenant=doors.theirs) == ROW_LEVEL_SECURITY


@pytest.mark.parametrize("door", ["tenant", "platform"])
async def test_nobody_changes_or_removes_an_entry_of_the_audit_log(doors: Doors, door: str) -> None:
    before = await contents(doors.settings, audit_log=True)
    async with doors.postgres.write(doors.mine) as tx:
        doors.backends.add(await tx.scalar(sa.text("SELECT pg_backend_pid()")))
    async with owner(doors.settings) as connection:
        partitions = [row[0] for row in await connection.fetch(_PARTITIONS)]
    assert len(partitions) == 4
    for table in (AUDIT_LOG, *partitions):
        for statement in (f"UPDATE {table} SET code = NULL", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(DBAPIError) as caught:
                async with (
                    doors.postgres.write(doors.mine) if door == "tenant" else doors.postgres.platform(Purpose.AUDIT)
                ) as tx:
                    await tx.execute(sa.text(statement))
            assert caught.value.orig.sqlstate == ROW_LEVEL_SECURITY, statement  # type: ignore[union-attr]
    assert await contents(doors.settings, audit_log=True) == before


async def test_the_other_tenant_cannot_be_renamed_and_no_tenant_can_be_made(doors: Doors) -> None:
    before = await contents(doors.settings, doors.theirs)
    async with doors.postgres.write(doors.mine) as tx:
        doors.backends.add(await tx.scalar(sa.text("SELECT pg_backend_pid()")))
        assert await tx.execute(sa.text("UPDATE tenants SET name = 'renamed'")) == 1
    assert await contents(doors.settings, doors.theirs) == before
    for statement in ("DELETE FROM tenants", "INSERT INTO tenants SELECT * FROM tenants"):
        assert await doors.refused(statement) == ROW_LEVEL_SECURITY


@pytest.mark.parametrize(("table", "column", "parent"), POINTERS)
async def test_a_row_cannot_point_at_the_other_tenant_s(doors: Doors, table: str, column: str, parent: str) -> None:
    """Foreign-key checks bypass row-level security: the composite key refuses what a plain one would let through."""
    foreign = (await doors.row(parent, doors.theirs))["id"]
    row = await doors.row(table, doors.mine)
    pointing = _new(row, **{column: foreign})
    assert await doors.refused(_insert(table), row=pointing) == FOREIGN_KEY
    turned = f"UPDATE {table} SET {column} = CAST(:foreign AS uuid) WHERE id = CAST(:id AS uuid)"
    assert await doors.refused(turned, foreign=foreign, id=row["id"]) == FOREIGN_KEY
    # The same row goes in when it points where it did before, so it was the pointer that was refused.
    again = _new(row)
    assert await doors.write(f"DELETE FROM {table} WHERE id = CAST(:id AS uuid)", {"id": row["id"]}) == 1
    assert await doors.write(_insert(table), {"row": again}) == 1


async def test_lexical_search_finds_nothing_of_the_other_tenant_s(doors: Doors) -> None:
    search = sa.text("SELECT chunk_id FROM search_chunks(lexical_query('town founded Queen Astrid'), NULL, 100)")
    async with doors.postgres.read(doors.mine) as tx:
        doors.backends.add(await tx.scalar(sa.text("SELECT pg_backend_pid()")))
        found = {row[0] for row in await tx.rows(search)}
        own = {row[0] for row in await tx.rows(sa.text("SELECT id FROM chunks"))}
    assert found
    assert found <= own
    async with doors.postgres.engine.connect() as connection:
        assert (await connection.execute(search)).all() == []
