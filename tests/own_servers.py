"""PostgreSQL and Redis of a test's own, which it may kill, restart and freeze."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil

from app.embedded.postgres import EmbeddedPostgres
from app.embedded.processes import at_once
from app.embedded.redis import EmbeddedRedis
from core.settings import Settings
from datastores.migrate import migrate


@asynccontextmanager
async def own_redis(folder: Path) -> AsyncIterator[EmbeddedRedis]:
    """Redis, empty."""
    server = EmbeddedRedis(folder / "servers", scratch=True)
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.stop, at_once)


@asynccontextmanager
async def own_postgres(folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """PostgreSQL, with nothing but the extension in it."""
    server = EmbeddedPostgres(folder / "servers", scratch=True)
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.stop, at_once)


async def on_own_servers(settings: Settings, database: EmbeddedPostgres, cache: EmbeddedRedis) -> Settings:
    """The settings of a product on these, which are made ready for it."""
    own = settings.model_copy(
        update={
            "database_owner_url": database.owner_url,
            "database_url": database.app_url,
            "database_platform_url": database.platform_url,
            "redis_url": cache.url,
        }
    )
    await migrate(own)
    return own


@contextmanager
def frozen(server: EmbeddedPostgres | EmbeddedRedis) -> Iterator[None]:
    """The server and its children take what they are sent, and answer nothing."""
    main = psutil.Process(server.pid)
    processes = [main, *main.children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            if process.is_running():
                process.resume()
