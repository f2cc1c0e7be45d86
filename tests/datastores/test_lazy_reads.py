"""The one read transaction of an operation: opened when needed, shared by all that read at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from door_use import NAMES, kill, names
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from core.ids import TenantId
from core.settings import Settings
from datastores.postgres import Postgres
from datastores.transactions import LazyRead


@contextmanager
def transactions(doors: Postgres) -> Iterator[list[int]]:
    """Counts the transactions that begin inside the block."""
    begun: list[int] = []
    engine = doors.engine.sync_engine

    def note(_connection: Any) -> None:
        begun.append(len(begun) + 1)

    event.listen(engine, "begin", note)
    try:
        yield begun
    finally:
        event.remove(engine, "begin", note)


async def test_a_lazy_read_that_is_not_used_opens_nothing(postgres: Postgres, tenant: TenantId) -> None:
    with transactions(postgres) as begun:
        await LazyRead(postgres, tenant).aclose()
    assert begun == []


async def test_a_lazy_read_opens_one_transaction_for_many_queries_at_once(single: Postgres, tenant: TenantId) -> None:
    with transactions(single) as begun:
        lazy = LazyRead(single, tenant)
        started = await asyncio.gather(*(lazy.scalar(sa.text("SELECT now()")) for _ in range(50)))
        await lazy.aclose()
    assert len(set(started)) == 1
    assert len(begun) == 1
    assert await names(single, tenant) == []


async def test_ending_a_lazy_read_in_the_midst_of_queries_breaks_none_of_them(
    single: Postgres, tenant: TenantId
) -> None:
    lazy = LazyRead(single, tenant)
    queries = [asyncio.create_task(lazy.scalar(sa.text(f"SELECT {number}"))) for number in range(30)]
    endings = [asyncio.create_task(lazy.aclose()) for _ in range(3)]
    more = [asyncio.create_task(lazy.scalar(sa.text(f"SELECT {number}"))) for number in range(30, 60)]
    assert await asyncio.gather(*queries, *more) == list(range(60))
    await asyncio.gather(*endings)
    await lazy.aclose()
    assert await names(single, tenant) == []


async def test_a_query_that_fails_in_a_lazy_read_does_not_take_the_others_with_it(
    single: Postgres, settings: Settings, tenant: TenantId
) -> None:
    lazy = LazyRead(single, tenant)
    wrong, right = await asyncio.gather(
        lazy.rows(sa.text("SELECT 1 / 0")), lazy.scalar(sa.text("SELECT 1")), return_exceptions=True
    )
    assert isinstance(wrong, DBAPIError)
    assert right == 1
    await kill(settings, await lazy.scalar(sa.text("SELECT pg_backend_pid()")))
    results = await asyncio.gather(lazy.rows(NAMES), lazy.rows(NAMES), return_exceptions=True)
    assert isinstance(results[0], DBAPIError)
    assert results[1] == []
    await lazy.aclose()
    assert await names(single, tenant) == []


async def test_a_lazy_read_that_is_cancelled_at_any_moment_gives_its_connection_back(
    single: Postgres, tenant: TenantId
) -> None:
    async def operation() -> None:
        lazy = LazyRead(single, tenant)
        try:
            await asyncio.gather(*(lazy.rows(NAMES) for _ in range(5)))
        finally:
            await lazy.aclose()

    for steps in range(0, 150, 3):
        task = asyncio.create_task(operation())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        async with asyncio.timeout(5):
            await names(single, tenant)
