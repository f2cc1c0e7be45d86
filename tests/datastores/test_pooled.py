"""Connections that end while they are in the pool."""

from __future__ import annotations

import asyncio
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa
from door_use import add, kill, names

from core.ids import TenantId
from core.settings import Settings
from datastores import pooled
from datastores.postgres import Postgres
from owner import until

BACKEND = sa.text("SELECT pg_backend_pid()")


async def test_one_whose_server_has_ended_it_is_replaced_unseen(
    single: Postgres, settings: Settings, tenant: TenantId
) -> None:
    driver, backend = await _pooled(single, tenant)
    await kill(settings, backend)

    async def is_heard() -> bool:
        return bool(driver.is_closed())

    await until(is_heard)
    assert await names(single, tenant) == ["there"]


async def test_one_that_was_idle_for_long_is_tried_before_it_is_used(
    single: Postgres, settings: Settings, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooled, "LOOK_AFTER_SECONDS", 0.0)
    driver, backend = await _pooled(single, tenant)
    # The loop stands still meanwhile: as with a server that has vanished, nothing is heard of the end.
    killing = Thread(target=lambda: asyncio.run(kill(settings, backend)))
    killing.start()
    killing.join()
    assert not driver.is_closed()
    assert await names(single, tenant) == ["there"]


async def test_one_that_was_used_a_moment_ago_is_used_again_as_it_is(single: Postgres, tenant: TenantId) -> None:
    driver, _ = await _pooled(single, tenant)
    sent: list[str] = []
    with driver.query_logger(lambda record: sent.append(record.query)):
        await names(single, tenant)
    # The query is a prepared statement, which the driver does not tell of.
    begin, commit = sent
    assert begin.startswith("BEGIN READ ONLY; SELECT set_config('colloquy.tenant_id'")
    assert commit == "COMMIT"


async def _pooled(doors: Postgres, tenant: TenantId) -> tuple[Any, int]:
    """The one connection of the pool, which has been used and given back: the driver's, and the server's process."""
    await add(doors, tenant, "there")
    async with doors.engine.connect() as connection:
        backend = (await connection.execute(BACKEND)).scalar_one()
        return (await connection.get_raw_connection()).driver_connection, backend
