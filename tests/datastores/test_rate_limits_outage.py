"""Rate limits on a Redis of their own: one that forgets, is stopped, is full, hangs, and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.embedded.redis import EmbeddedRedis
from core.settings import Settings
from datastores.rate_limits import AT_ONCE, RateLimiter
from datastores.rates import Demand, Limit, Subject
from datastores.redis_circuit import RedisCircuit
from datastores.redis_client import make_redis

SOMEBODY, ANOTHER = Subject("person:1"), Subject("person:2")
SLOW = Limit("slow", per_minute=1, burst=3)
ONCE = Demand(SLOW, SOMEBODY)
BURST = [True, True, True, False]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    own = EmbeddedRedis(tmp_path_factory.mktemp("redis"), scratch=True)
    own.start()
    yield own
    own.stop()


@pytest.fixture
async def redis(server: EmbeddedRedis) -> AsyncIterator[Redis]:
    server.start()
    client = make_redis(Settings(redis_url=server.url))
    await client.flushall()
    yield client
    await client.aclose()


def limiter_on(redis: Redis) -> RateLimiter:
    """Patient: on a busy machine Redis must not be taken for away, or the process's own limiter would be tested."""
    return RateLimiter(redis, RedisCircuit(answer_seconds=5))


async def admitted(limiter: RateLimiter, times: int) -> list[bool]:
    return [await limiter.take(ONCE) is None for _ in range(times)]


def hang(server: EmbeddedRedis, *, up: bool = False) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGCONT if up else signal.SIGSTOP)


async def scripts_run(redis: Redis) -> int:
    found = (await redis.info("commandstats")).get("cmdstat_evalsha", {"calls": 0})
    return int(found["calls"])


async def test_a_flood_of_what_was_refused_asks_redis_once(redis: Redis) -> None:
    limiter = limiter_on(redis)
    demand = Demand(SLOW, SOMEBODY)
    for _ in range(4):
        await limiter.take(demand)
    before = await scripts_run(redis)
    outcomes = await asyncio.gather(*(limiter.take(demand) for _ in range(1_000)))
    assert await scripts_run(redis) == before
    waits = [refused.retry_after_ms for refused in outcomes if refused is not None]
    assert len(waits) == 1_000
    assert 50_000 < waits[-1] <= waits[0] <= 60_000


async def test_a_thousand_that_come_together_cost_few_round_trips(redis: Redis) -> None:
    limiter = limiter_on(redis)
    await limiter.take(Demand(SLOW, ANOTHER))
    before = await scripts_run(redis)
    outcomes = await asyncio.gather(*(limiter.take(Demand(SLOW, SOMEBODY)) for _ in range(1_000)))
    assert outcomes.count(None) == SLOW.burst
    assert await scripts_run(redis) - before < 100


async def test_the_script_is_loaded_again_when_redis_has_forgotten_it(redis: Redis) -> None:
    limiter = limiter_on(redis)
    await limiter.take(Demand(SLOW, SOMEBODY))
    await redis.script_flush()
    outcomes = await asyncio.gather(*(limiter.take(Demand(SLOW, SOMEBODY)) for _ in range(4)))
    assert outcomes.count(None) == 2


async def test_after_a_flush_everybody_has_a_burst_again_and_is_limited_again(redis: Redis) -> None:
    limiter = limiter_on(redis)
    for _ in range(2):
        assert [await limiter.take(Demand(SLOW, SOMEBODY)) for _ in range(3)] == [None] * 3
        await redis.flushall()
    assert [await limiter.take(Demand(SLOW, SOMEBODY)) is None for _ in range(4)] == [True, True, True, False]


async def test_with_redis_stopped_the_process_limits_at_the_same_rate(server: EmbeddedRedis, redis: Redis) -> None:
    limiter, quick = RateLimiter(redis, RedisCircuit()), Limit("quick", per_minute=300, burst=2)
    await limiter.take(ONCE)
    await asyncio.to_thread(server.stop)
    assert await admitted(limiter, 4) == BURST
    refused = [await limiter.take(Demand(quick, SOMEBODY)) for _ in range(3)][-1]
    assert refused is not None
    assert refused.limit == "quick"
    assert 0 < refused.retry_after_ms <= 200
    await asyncio.sleep(refused.retry_after_ms / 1_000)
    assert await limiter.take(Demand(quick, SOMEBODY)) is None


async def test_several_demands_are_refused_together_by_the_process_too(server: EmbeddedRedis, redis: Redis) -> None:
    limiter, narrow = RateLimiter(redis, RedisCircuit()), Limit("narrow", 1, 1)
    await asyncio.to_thread(server.stop)
    assert await limiter.take(ONCE, Demand(narrow, SOMEBODY)) is None
    refused = await limiter.take(ONCE, Demand(narrow, SOMEBODY))
    assert refused is not None
    assert refused.limit == "narrow"
    assert await admitted(limiter, 3) == [True, True, False]


async def test_with_redis_full_the_process_limits_by_itself(redis: Redis) -> None:
    limiter = limiter_on(redis)
    await redis.config_set("maxmemory", 1)
    try:
        assert await admitted(limiter, 4) == BURST
        assert await redis.keys("colloquy:rate:*") == []
    finally:
        await redis.config_set("maxmemory", 0)


async def test_a_redis_that_hangs_holds_nobody_up_for_long_and_no_crowd_forms(
    server: EmbeddedRedis, redis: Redis
) -> None:
    limiter = RateLimiter(redis, RedisCircuit())
    await limiter.take(Demand(SLOW, ANOTHER))
    hang(server)
    try:
        took = list[float]()

        async def take(subject: str) -> bool:
            began = time.monotonic()
            outcome = await limiter.take(Demand(SLOW, Subject(subject)))
            took.append(time.monotonic() - began)
            return outcome is None

        assert all(await asyncio.gather(*(take(f"person:{n}") for n in range(300))))
        # 200 ms it is, and the rest is the machine's. One after another they would take 3.7 s.
        assert 0.19 < max(took) < 1
        took.clear()
        for number in range(300):
            assert await take(f"person:{number}")
        assert sum(seconds > 0.19 for seconds in took) <= 1
        assert await admitted(limiter, 2) == [True, False]
    finally:
        hang(server, up=True)


@asynccontextmanager
async def far_away(server: EmbeddedRedis, seconds: float) -> AsyncGenerator[str]:
    """The URL of the same server behind a line on which an answer takes that long."""
    url = urlsplit(server.url)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
        # A client that gives up a connection with an answer on the way resets it.
        with closing(writer), suppress(ConnectionError):
            while data := await reader.read(65_536):
                await asyncio.sleep(delay)
                writer.write(data)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_connection(url.hostname, url.port)
        await asyncio.gather(carry(reader, to_redis, 0), carry(from_redis, writer, seconds))

    line = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"redis://:{url.password}@127.0.0.1:{line.sockets[0].getsockname()[1]}/0"
    finally:
        line.close()


async def test_a_slow_redis_holds_nobody_up_for_longer_than_one_that_hangs(server: EmbeddedRedis, redis: Redis) -> None:
    async with far_away(server, 0.04) as url:
        slow = make_redis(Settings(redis_url=url))
        limiter = RateLimiter(slow, RedisCircuit())

        async def seconds(subject: str) -> float:
            began = time.monotonic()
            assert await limiter.take(Demand(SLOW, Subject(subject))) is None
            return time.monotonic() - began

        try:
            # Connecting takes several answers: not what is looked at.
            await asyncio.gather(*(slow.ping() for _ in range(AT_ONCE)))
            with capture_logs() as lines:
                took = await asyncio.gather(*(seconds(f"person:{n}") for n in range(800)))
        finally:
            await slow.aclose()
    # All in their turn would take 2 s.
    assert max(took) < 1
    # It does answer: those whose turn came are counted there.
    assert lines == []
    assert len(await redis.keys("colloquy:rate:slow:*")) >= AT_ONCE


async def test_that_redis_hangs_is_noticed_by_a_process_that_is_busy_with_other_things(
    server: EmbeddedRedis, redis: Redis
) -> None:
    async def work() -> None:
        while True:
            time.sleep(0.07)  # noqa: ASYNC251 - a turn of the loop that takes longer than a part of any limit
            await asyncio.sleep(0)

    limiter = RateLimiter(redis, RedisCircuit())
    hang(server)
    working = asyncio.create_task(work())
    try:
        with capture_logs() as lines:
            assert await limiter.take(ONCE) is None
        assert [line["event"] for line in lines] == ["redis_away_limits_are_local"]
    finally:
        hang(server, up=True)
        working.cancel()


async def test_while_redis_hangs_one_request_at_a_time_looks_whether_it_is_back(
    server: EmbeddedRedis, redis: Redis
) -> None:
    limiter = RateLimiter(redis, RedisCircuit(pause_seconds=0.05))
    hang(server)
    try:
        await limiter.take(ONCE)
        await asyncio.sleep(0.06)

        async def seconds(subject: str) -> float:
            began = time.monotonic()
            await limiter.take(Demand(SLOW, Subject(subject)))
            return time.monotonic() - began

        took = sorted(await asyncio.gather(*(seconds(f"person:{n}") for n in range(20))))
        assert took[-1] > 0.19
        assert took[-2] < 0.19
    finally:
        hang(server, up=True)


async def test_when_redis_is_back_it_counts_again_and_an_outage_is_two_lines(
    server: EmbeddedRedis, redis: Redis
) -> None:
    limiter = RateLimiter(redis, RedisCircuit(pause_seconds=0.05))
    with capture_logs() as lines:
        await asyncio.to_thread(server.stop)
        for _ in range(3):
            await admitted(limiter, 10)
            await asyncio.sleep(0.06)
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(10):
            # The limiter says nothing of itself: that it counts in Redis again is seen there.
            while not await redis.exists("colloquy:rate:slow:person:1"):
                await asyncio.sleep(0.02)
                await limiter.take(ONCE)
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("redis_away_limits_are_local", "warning"),
        ("redis_answers_again", "info"),
    ]
    assert "Error" in lines[0]["error"]
    assert lines[1]["away_seconds"] > 0.1
    assert await admitted(limiter_on(redis), 3) == [True, True, False]


async def test_a_request_that_is_given_up_is_no_failure_of_redis(server: EmbeddedRedis, redis: Redis) -> None:
    limiter = limiter_on(redis)
    await limiter.take(Demand(SLOW, ANOTHER))
    hang(server)
    try:
        with capture_logs() as lines:
            task = asyncio.create_task(limiter.take(ONCE))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    finally:
        hang(server, up=True)
    assert lines == []
    await limiter.take(Demand(SLOW, ANOTHER))
    assert await redis.exists("colloquy:rate:slow:person:2")
