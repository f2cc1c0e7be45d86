"""The doors to PostgreSQL: what they commit, what they refuse, and what a lost connection costs."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from door_use import NAMES, add, kill, names
from sqlalchemy.exc import DBAPIError

from core.errors import ConfigurationError
from core.ids import TenantId, new_id
from core.settings import Settings
from datastores.models import Assistant
from datastores.postgres import Postgres, Purpose
from product import Product
from schema.execution import AWAY

READ_ONLY = "25006"


async def test_returning_commits(postgres: Postgres, tenant: TenantId) -> None:
    await add(postgres, tenant, "kept")
    assert await names(postgres, tenant) == ["kept"]


async def test_raising_rolls_back_and_the_error_comes_out(postgres: Postgres, tenant: TenantId) -> None:
    with pytest.raises(KeyError, match="mine"):
        await add(postgres, tenant, "lost", KeyError("mine"))
    assert await names(postgres, tenant) == []


async def test_a_row_that_is_refused_at_the_end_takes_the_whole_transaction_with_it(
    postgres: Postgres, tenant: TenantId
) -> None:
    async def add_two() -> None:
        async with postgres.write(tenant) as tx:
            tx.session.add(Assistant(tenant_id=tenant, name="first"))
            await tx.session.flush()
            tx.session.add(Assistant(tenant_id=TenantId(new_id()), name="another tenant's"))

    with pytest.raises(DBAPIError):
        await add_two()
    assert await names(postgres, tenant) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE assistants SET name = 'x'",
        "DELETE FROM assistants",
        "INSERT INTO assistants SELECT * FROM assistants",
        "CREATE TABLE mine (id integer)",
    ],
)
async def test_the_read_door_refuses_writes(postgres: Postgres, tenant: TenantId, statement: str) -> None:
    await add(postgres, tenant, "as it was")
    async with postgres.read(tenant) as tx:
        with pytest.raises(DBAPIError) as caught:
            await tx.rows(sa.text(statement))
    assert caught.value.orig.sqlstate == READ_ONLY  # type: ignore[union-attr]
    assert await names(postgres, tenant) == ["as it was"]


async def test_a_connection_that_has_read_writes_again(single: Postgres, tenant: TenantId) -> None:
    assert await names(single, tenant) == []
    await add(single, tenant, "written")
    assert await names(single, tenant) == ["written"]


async def test_a_statement_sees_the_entities_added_before_it(postgres: Postgres, tenant: TenantId) -> None:
    async with postgres.write(tenant) as tx:
        tx.session.add(Assistant(tenant_id=tenant, name="new"))
        assert [row[0] for row in await tx.rows(NAMES)] == ["new"]
        assert await tx.execute(sa.text("UPDATE assistants SET name = 'newer'")) == 1
    assert await names(postgres, tenant) == ["newer"]


async def test_the_platform_door_says_why_it_is_open_and_sees_named_tables_only(
    postgres: Postgres, tenant: TenantId
) -> None:
    async with postgres.platform(Purpose.SWEEP) as tx:
        assert await tx.scalar(sa.text("SELECT current_setting('colloquy.purpose')")) == "sweep"
        assert await tx.scalar(sa.text("SELECT id FROM tenants")) == tenant
    for hidden in ("messages", "chunks", "citations", "document_pages"):
        with pytest.raises(DBAPIError, match="permission denied"):
            await _platform(postgres, f"SELECT count(*) FROM {hidden}")
    with pytest.raises(DBAPIError, match="permission denied"):
        await _platform(postgres, "SELECT name FROM documents")


async def _platform(doors: Postgres, statement: str) -> None:
    async with doors.platform(Purpose.SWEEP) as tx:
        await tx.rows(sa.text(statement))


async def test_a_door_that_is_cancelled_at_any_moment_gives_its_connection_back(
    single: Postgres, tenant: TenantId
) -> None:
    async def work() -> None:
        await names(single, tenant)
        await add(single, tenant, "x")

    for steps in range(0, 240, 3):
        task = asyncio.create_task(work())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        # The only connection of the pool: with a leak this would wait for ever.
        async with asyncio.timeout(5):
            await names(single, tenant)
    open_ones = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = USER")
    async with single.read(tenant) as tx:
        assert await tx.scalar(open_ones) == 1


async def test_a_lost_connection_costs_one_query(single: Postgres, settings: Settings, tenant: TenantId) -> None:
    await add(single, tenant, "there")
    with pytest.raises(DBAPIError):
        await _read_while_killed(single, settings, tenant)
    assert await names(single, tenant) == ["there"]


async def _read_while_killed(doors: Postgres, settings: Settings, tenant: TenantId) -> None:
    async with doors.read(tenant) as tx:
        await kill(settings, await tx.scalar(sa.text("SELECT pg_backend_pid()")))
        await tx.rows(NAMES)


async def test_a_connection_lost_while_nobody_used_it_costs_nothing(
    single: Postgres, settings: Settings, tenant: TenantId
) -> None:
    async with single.read(tenant) as tx:
        backend = await tx.scalar(sa.text("SELECT pg_backend_pid()"))
    await kill(settings, backend)
    assert await names(single, tenant) == []


async def test_over_http_a_lost_connection_fails_one_request_without_internal_words(own_product: Product) -> None:
    person = await own_product.sign_up()
    query = "{ viewer { members { nodes { email } } } }"
    # Who asks is at hand then, so that only what is asked for is read.
    await person.query(query)
    connection = await asyncpg.connect(own_product.settings.database_owner_url)
    async with connection.transaction():
        # Holds the request in the middle of its query, so that the connection is lost there.
        await connection.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        blocked = asyncio.create_task(person.raw(query))
        await kill(own_product.settings, await _waiting(connection))
    body = await blocked
    await connection.close()
    assert body["data"] == {"viewer": None}
    (error,) = body["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["message"] == AWAY
    assert 500 <= error["extensions"]["retryAfterMs"] <= 1_500
    shown = str(body).lower()
    assert not [word for word in ("asyncpg", "sqlalchemy", "connection", "terminat", "select") if word in shown]
    assert (await person.query(query))["viewer"]["members"]["nodes"] == [{"email": person.email}]


async def _waiting(connection: Any) -> int:
    """The server process that waits for our lock, once there is one."""
    query = "SELECT pid FROM pg_locks WHERE relation = 'users'::regclass AND NOT granted"
    async with asyncio.timeout(10):
        while (backend := await connection.fetchval(query)) is None:
            pass
    return int(backend)


async def test_a_database_that_is_not_there_is_said_by_the_driver_and_not_waited_for(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"database_url": "postgresql://colloquy_app:x@127.0.0.1:1/none"})
    doors = Postgres(nowhere)
    with pytest.raises(OSError, match="Connect call failed"):
        await doors.ping()
    await doors.aclose()
    await doors.aclose()


async def test_without_a_url_the_setting_is_named(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        Postgres(settings.model_copy(update={"database_url": None}))
