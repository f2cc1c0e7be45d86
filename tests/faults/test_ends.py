"""A process that is told to end while a server that it needs hangs is gone within its grace period all the same."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
from asking import StartApi, ask
from follower import TRANSPORTS, Follower, spoken

from api_process import environment
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.processes import spawn
from app.embedded.redis import EmbeddedRedis
from app.ending import FORCED_STATUS, GRACE_SECONDS, MARGIN_SECONDS
from core.settings import Settings
from datastores import redis_keys
from datastores.redis_client import make_redis
from own_servers import frozen, on_own_servers, own_postgres, own_redis
from owner import as_owner, until
from product import Person

pytestmark = [pytest.mark.long, pytest.mark.timeout(90)]
SPARE_SECONDS = 1.0
"""For a busy machine. The process's own clock ends it, so there is nothing to multiply."""
BUSY = 3
"""The machine may be slower than its clock: what no clock of ours ends has so many times as long."""
TAKEOVER_SECONDS = 30.0


@pytest.fixture
async def own_servers(tmp_path: Path) -> AsyncIterator[tuple[EmbeddedPostgres, EmbeddedRedis]]:
    async with own_postgres(tmp_path) as database, own_redis(tmp_path) as cache:
        yield database, cache


@pytest.fixture
async def settings(settings: Settings, own_servers: tuple[EmbeddedPostgres, EmbeddedRedis]) -> Settings:
    """Those of a product on them."""
    # Longer than any end may take: no answer finishes by itself.
    long = settings.model_copy(update={"local_token_interval_ms": 350})
    return await on_own_servers(long, *own_servers)


@pytest.fixture
def slow(settings: Settings) -> Settings:
    return settings


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
    with frozen(own_servers[0] if which == "postgresql" else own_servers[1]):
        await asyncio.sleep(0.5)
        ending.send(signal.SIGTERM)
        status = await ending.ended(GRACE_SECONDS + MARGIN_SECONDS + SPARE_SECONDS)
    assert status != FORCED_STATUS, ending.said()
    assert "ended by force" not in ending.said()
    other = await start_api()
    for follower in followers:
        follower.urls = [other.url]
    await asyncio.wait_for(asyncio.gather(*following), TAKEOVER_SECONDS)
    assert {follower.terminal and follower.terminal["__typename"] for follower in followers} == {"AnswerCompleted"}


@pytest.mark.parametrize("which", ["postgresql", "redis"])
async def test_a_server_that_hangs_keeps_no_worker(
    own_servers: tuple[EmbeddedPostgres, EmbeddedRedis], slow: Settings, tmp_path: Path, which: str
) -> None:
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        argv = (sys.executable, "-m", "app.cli", "work")
        worker = spawn(argv, log=output, env=environment(slow), death_signal=signal.SIGKILL)
    redis = make_redis(slow)
    try:

        async def works() -> bool:
            return bool(await redis.exists(f"{redis_keys.QUEUE}:health-check"))

        await until(works)
        with frozen(own_servers[0] if which == "postgresql" else own_servers[1]):
            await asyncio.sleep(3)  # a sweep's pause, and more: something of it waits for the server
            worker.send_signal(signal.SIGTERM)
            seconds = GRACE_SECONDS + MARGIN_SECONDS + SPARE_SECONDS
            assert await asyncio.to_thread(_ended, worker, seconds) == 0, log.read_text()
    finally:
        worker.kill()
        worker.wait()
        await redis.aclose()


def _ended(process: subprocess.Popen[bytes], seconds: float) -> int:
    return process.wait(seconds)


def _asks(pid: int, database: EmbeddedPostgres) -> bool:
    """Whether the process is connected to it."""
    with suppress(psutil.NoSuchProcess):
        port = urlsplit(database.owner_url).port
        return any(one.raddr and one.raddr.port == port for one in psutil.Process(pid).net_connections())
    return False


@pytest.mark.parametrize("command", ["serve", "work"])
async def test_one_that_starts_while_the_database_hangs_ends_at_once(
    own_servers: tuple[EmbeddedPostgres, EmbeddedRedis], slow: Settings, tmp_path: Path, command: str
) -> None:
    log = tmp_path / "log"
    with frozen(own_servers[0]):
        with log.open("wb") as output:
            argv = (sys.executable, "-m", "app.cli", command)
            process = spawn(argv, log=output, env=environment(slow), death_signal=signal.SIGKILL)
        try:

            async def asks() -> bool:
                return _asks(process.pid, own_servers[0])

            await until(asks)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(_ended, process, BUSY * SPARE_SECONDS) == -signal.SIGTERM, log.read_text()
        finally:
            process.kill()
            process.wait()


async def test_one_that_is_to_replace_another_while_the_database_hangs_holds_up_no_end(
    own_servers: tuple[EmbeddedPostgres, EmbeddedRedis], start_api: StartApi
) -> None:
    ending = await start_api("--processes", "2")
    said = ""

    async def both_are_ready() -> bool:
        nonlocal said
        said += ending.said()
        return said.count("process ready") == 2

    await until(both_are_ready)
    before = {process.pid for process in ending.serving}
    with frozen(own_servers[0]):
        ending.serving[0].kill()

        async def a_new_one_asks() -> bool:
            return any(_asks(process.pid, own_servers[0]) for process in ending.serving if process.pid not in before)

        await until(a_new_one_asks)
        ending.send(signal.SIGTERM)
        status = await ending.ended(GRACE_SECONDS + MARGIN_SECONDS + SPARE_SECONDS)
    said = ending.said()
    assert status == 0, said
    assert "killed" not in said


async def test_a_connection_that_is_held_open_takes_no_time_from_an_answer_s_hand_over(
    slow: Settings, start_api: StartApi, reader: Person, http: aiohttp.ClientSession
) -> None:
    # Slower than the whole end: nothing is left to hand over once it has finished.
    ending = await start_api(settings=slow.model_copy(update={"local_token_interval_ms": 1_000}))
    answer = await ask(http, ending.url, reader)
    follower = Follower(http, [ending.url], reader.token, answer)
    following = asyncio.create_task(follower.follow(["sse"]))
    await spoken(follower)
    # A request whose body never comes: the server waits for it through the whole grace period.
    port = int(ending.url.rpartition(":")[2])
    _, held = await asyncio.open_connection("127.0.0.1", port)
    held.write(b"POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
    await held.drain()
    await asyncio.sleep(0.2)
    ending.send(signal.SIGTERM)
    seconds = GRACE_SECONDS + MARGIN_SECONDS + SPARE_SECONDS
    assert await ending.ended(seconds) != FORCED_STATUS
    held.close()
    assert await as_owner(slow, "SELECT epoch FROM answer_attempts") == [(1,)]
    follower.urls = [(await start_api()).url]
    await asyncio.wait_for(following, TAKEOVER_SECONDS)
    assert follower.terminal is not None
    assert follower.terminal["__typename"] == "AnswerCompleted"
