"""A Redis that hangs holds up one asker of a process's caches at a time, and nobody who has to be told something."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pytest
from redis.asyncio import Redis

from app.services import evictable
from core.ids import TenantId
from core.settings import Settings
from datastores import redis_keys
from datastores.answer_cache import AnswerCache, CachedAnswer
from datastores.answer_stops import StopCalls
from datastores.context_cache import ContextCache, Moment, Said
from datastores.models import Role
from datastores.query_vectors import QueryVectors
from datastores.records import UserRecord
from datastores.redis_circuit import PAUSE_SECONDS, RedisCircuit
from datastores.redis_client import REQUEST_SECONDS, make_redis
from datastores.session_cache import SessionCache
from owner import until
from wire import Relay, relayed

TENANT, SESSION, CONVERSATION = TenantId(uuid4()), uuid4(), uuid4()
PERSON = UserRecord(uuid4(), TENANT, "Pat", "pat@example.test", Role.USER, datetime.now(UTC), None, None)
MOMENT = Moment(1, None, None)
ANSWER = CachedAnswer("Said.", 1, 1)


@dataclass
class Process:
    """A process's way to Redis, and what it asks of its caches."""

    redis: Redis
    relay: Relay
    sessions: SessionCache
    asks: list[Callable[[], Awaitable[object]]]


@pytest.fixture
async def process(settings: Settings) -> AsyncIterator[Process]:
    assert settings.redis_url is not None
    async with relayed(settings.redis_url) as (url, relay):
        redis = make_redis(settings.model_copy(update={"redis_url": url}))
        async with evictable(settings, redis) as cache:
            sessions = SessionCache(cache.redis, redis, cache.circuit, ttl=60)
            vectors = QueryVectors(cache.redis, cache.circuit, ttl=60, servers=[])
            contexts = ContextCache(cache.redis, cache.circuit, ttl=60)
            answers = AnswerCache(cache.redis, cache.circuit, ttl=60, servers=[])
            one = np.array([1.0], dtype=np.float32)
            yield Process(
                redis,
                relay,
                sessions,
                [
                    lambda: sessions.get(TENANT, SESSION),
                    lambda: sessions.put(SESSION, PERSON, time.time()),
                    lambda: vectors.get(TENANT, "m@1", 1, "Why?"),
                    lambda: vectors.put(TENANT, "m@1", "Why?", one),
                    lambda: contexts.get(TENANT, CONVERSATION, MOMENT),
                    lambda: contexts.put(TENANT, CONVERSATION, MOMENT, Said([])),
                    lambda: answers.get(TENANT, "asked"),
                    lambda: answers.put(TENANT, "asked", ANSWER),
                ],
            )
            await sessions.aclose()
        await redis.aclose()


async def seconds(*asks: Callable[[], Awaitable[object]]) -> float:
    began = time.monotonic()
    for ask in asks:
        assert await ask() is None
    return time.monotonic() - began


async def test_all_caches_know_what_one_of_them_has_waited_for(process: Process) -> None:
    first, *others = process.asks
    await process.redis.ping()  # there is a connection, which takes what it is sent
    process.relay.hang()
    assert await seconds(first) >= REQUEST_SECONDS
    assert await seconds(*others) < REQUEST_SECONDS, "none of seven has waited"
    await process.relay.answer_again()

    async def remembered() -> bool:
        await process.sessions.put(SESSION, PERSON, time.time())
        return await process.sessions.get(TENANT, SESSION) == PERSON

    await until(remembered)


async def test_a_change_of_sessions_is_told_though_a_cache_has_just_given_up(process: Process) -> None:
    await process.sessions.put(SESSION, PERSON, time.time())
    process.relay.hang()
    await seconds(process.asks[2])
    await process.relay.answer_again()
    began = time.monotonic()
    assert await process.sessions.forget(TENANT, [SESSION])
    assert await process.redis.get(redis_keys.session(TENANT, SESSION)) == b""
    assert time.monotonic() - began < PAUSE_SECONDS, "the caches would ask again by now"
    # And where somebody asks PostgreSQL meanwhile, what it said before is not put back.
    await process.sessions.put(SESSION, PERSON, time.time())
    assert await process.sessions.get(TENANT, SESSION) is None


async def test_of_stops_in_a_hang_one_a_second_waits_and_none_is_late_because_of_a_cache(process: Process) -> None:
    stops = StopCalls(process.redis, RedisCircuit(told="stops"))
    process.relay.hang()
    await seconds(process.asks[0])
    await process.relay.answer_again()
    assert await stops.tell_producer(uuid4()), "the caches are passed over, and stops are not"
    process.relay.hang()
    assert not await stops.tell_producer(uuid4())
    began = time.monotonic()
    for _ in range(5):
        assert not await stops.tell_producer(uuid4())
    assert time.monotonic() - began < REQUEST_SECONDS
    await process.relay.answer_again()

    async def told() -> bool:
        return await stops.tell_producer(uuid4())

    await until(told)
