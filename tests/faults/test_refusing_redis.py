"""Redis answers, and refuses what is written: it is full, or its disk is. Who writes an answer goes on all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from asking import StartApi, ask
from follower import TRANSPORTS, Follower, spoken

from app.embedded.redis import EmbeddedRedis
from core.settings import Settings
from datastores.answer_log import LEASE_MS
from datastores.redis_client import make_redis
from own_servers import own_redis
from owner import as_owner, uuid_of
from product import Person

# Processes that start, and an answer that takes longer than its lease lasts and sweeps are patient.
pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]
REFUSALS = {"full": ("maxmemory", "1", "0"), "without its replicas": ("min-replicas-to-write", "1", "0")}


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    async with own_redis(tmp_path) as server:
        yield server


@pytest.fixture
def settings(settings: Settings, cache: EmbeddedRedis) -> Settings:
    """Those of a product with a Redis of its own."""
    return settings.model_copy(update={"redis_url": cache.url})


@pytest.mark.parametrize(("name", "value", "usual"), REFUSALS.values(), ids=REFUSALS)
async def test_a_living_process_keeps_its_answer_and_viewers_are_told_it_once(
    slow: Settings, start_api: StartApi, reader: Person, http: aiohttp.ClientSession, name: str, value: str, usual: str
) -> None:
    loop = asyncio.get_running_loop()
    writing = await start_api(settings=slow.model_copy(update={"local_token_interval_ms": 900}))
    other = await start_api()
    redis = make_redis(slow)
    answer = await ask(http, writing.url, reader)
    followers = [Follower(http, [url], reader.token, answer) for url in (writing.url, other.url) for _ in TRANSPORTS]
    try:
        async with asyncio.TaskGroup() as group:
            for number, follower in enumerate(followers):
                group.create_task(follower.follow([TRANSPORTS[number % 3]]))
            await spoken(*followers)
            await redis.config_set(name, value)
            refusing = loop.time()
    finally:
        await redis.config_set(name, usual)
        await redis.aclose()
    # A lease that is not renewed has run out, and sweeps have had the time to see it twice.
    assert loop.time() - refusing > LEASE_MS / 1_000 + 4
    (row,) = await as_owner(slow, "SELECT epoch, status::text FROM answers WHERE id = $1", uuid_of(answer))
    assert row == (1, "COMPLETED")
    for follower in followers:
        assert follower.terminal is not None
        assert follower.terminal["__typename"] == "AnswerCompleted"
        assert follower.restarts <= 1
    assert len({follower.place.text for follower in followers}) == 1
