"""A process that is told to end while a server that it needs hangs is gone within its grace period all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest
from asking import StartApi, ask
from follower import TRANSPORTS, Follower, spoken

from app.embedded.postgres import EmbeddedPostgres
from app.embedded.processes import at_once
from app.embedded.redis import EmbeddedRedis
from app.ending import GRACE_SECONDS, MARGIN_SECONDS
from core.settings import Settings
from datastores.migrate import migrate
from product import Person

pytestmark = [pytest.mark.long, pytest.mark.timeout(90)]
SPARE_SECONDS = 1.0
"""For a busy machine. The process's own clock ends it, so there is nothing to multiply."""
TAKEOVER_SECONDS = 30.0


@pytest.fixture
async def own_servers(tmp_path: Path) -> AsyncIterator[tuple[EmbeddedPostgres, EmbeddedRedis]]:
    database = EmbeddedPostgres(tmp_path / "servers", scratch=True)
    cache = EmbeddedRedis(tmp_path / "servers", scratch=True)
    await asyncio.to_thread(database.start)
    await asyncio.to_thread(cache.start)
    yield database, cache
    await asyncio.to_thread(cache.stop, at_once)
    await asyncio.to_thread(database.stop, at_once)


@pytest.fixture
async def settings(settings: Settings, own_servers: tuple[EmbeddedPostgres, EmbeddedRedis]) -> Settings:
    """Those of a product on them."""
    database, cache = own_servers
    own = settings.model_copy(
        update={
            "database_owner_url": database.owner_url,
            "database_url": database.app_url,
            "database_platform_url": database.platform_url,
            "redis_url": cache.url,
            # Longer than any end may take: no answer finishes by itself.
            "local_token_interval_ms": 500,
        }
    )
    await migrate(own)
    return own


@pytest.fixture
def slow(settings: Settings) -> Settings:
    return settings


@contextmanager
def frozen(pid: int | None) -> Iterator[None]:
    """The server and its children hang."""
    server = psutil.Process(pid)
    processes = [*server.children(recursive=True), server]
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(processes):
            os.kill(process.pid, signal.SIGCONT)


@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["one", "two"])
@pytest.mark.parametrize("which", ["postgresql", "redis"])
async def test_a_server_that_hangs_keeps_no_process_that_writes_an_answer(
    own_servers: tuple[EmbeddedPostgres, EmbeddedRedis],
    start_api: StartApi,
    reader: Person,
    http: aiohttp.ClientSession,
    which: str,
    processes: tuple[str, ...],
) -> None:
    ending = await start_api(*processes)
    answer = await ask(http, ending.url, reader)
    followers = [Follower(http, [ending.url], reader.token, answer) for _ in TRANSPORTS]
    following = [
        asyncio.create_task(follower.follow([transport]))
        for follower, transport in zip(followers, TRANSPORTS, strict=True)
    ]
    await spoken(*followers)
    with frozen(own_servers[0].pid if which == "postgresql" else own_servers[1].pid):
        await asyncio.sleep(0.5)
        began = time.monotonic()
        ending.send(signal.SIGTERM)
        await ending.ended(GRACE_SECONDS + MARGIN_SECONDS + SPARE_SECONDS)
        print(f"{which} {processes} gone after {time.monotonic() - began:.1f} s")
        if (said := ending.said()).count("ended by force"):
            print("BY FORCE")
    print(said[-1500:])
    other = await start_api()
    for follower in followers:
        follower.urls = [other.url]
    await asyncio.wait_for(asyncio.gather(*following), TAKEOVER_SECONDS)
    assert {follower.terminal and follower.terminal["__typename"] for follower in followers} == {"AnswerCompleted"}
