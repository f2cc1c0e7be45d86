"""Closing the doors while work behind them is being cancelled, as a process does that is told to stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from app.embedded.postgres import EmbeddedPostgres
from app.embedded.processes import at_once
from core.ids import TenantId, new_id
from core.settings import Settings
from core.tasks import end_tasks
from datastores.postgres import Postgres
from owner import as_owner, until

OPEN = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.mark.parametrize("used_before", [False, True], ids=["a new connection", "a pooled connection"])
async def test_no_connection_outlives_its_door_whenever_its_user_is_cancelled(
    settings: Settings, used_before: bool
) -> None:
    async def closed() -> bool:
        return await as_owner(settings, OPEN) == [(0,)]

    for turns in range(0, 200, 4):
        doors = Postgres(settings)
        if used_before:
            await _read(doors)
        working = asyncio.create_task(_read(doors))
        for _ in range(turns):
            await asyncio.sleep(0)
        # Twice: whoever ends a task cancels it again when it takes its time.
        working.cancel()
        await asyncio.sleep(0)
        working.cancel()
        await asyncio.wait({working})
        await doors.aclose()
        async with asyncio.timeout(2):
            await until(closed)


@pytest.mark.long
@pytest.mark.parametrize("used_before", [False, True], ids=["a new connection", "a pooled connection"])
async def test_a_server_that_hangs_keeps_neither_a_cancelled_task_nor_the_pools(
    settings: Settings, tmp_path: Path, used_before: bool
) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", scratch=True)
    await asyncio.to_thread(server.start)
    url = server.owner_url
    doors = Postgres(settings.model_copy(update={"database_url": url, "database_platform_url": url}))
    try:
        if used_before:
            await asyncio.gather(_read(doors), _read(doors))
        running = psutil.Process(server.pid)
        frozen = [*running.children(), running]
        for process in frozen:
            process.suspend()
        try:
            working = asyncio.create_task(_read(doors))
            await asyncio.sleep(0.1)
            async with asyncio.timeout(4):
                await end_tasks([working])
            assert working.cancelled()
            async with asyncio.timeout(2):
                await doors.aclose()
        finally:
            for process in frozen:
                process.resume()
    finally:
        await asyncio.to_thread(server.stop, at_once)


async def _read(doors: Postgres) -> None:
    async with doors.read(TenantId(new_id())) as tx:
        await tx.rows(sa.text("SELECT 1"))
