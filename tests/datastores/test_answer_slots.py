"""A tenant's slots for answers: so many at once over all processes, and none is lost with its holder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.embedded.redis import EmbeddedRedis
from core.ids import TenantId
from core.settings import Settings
from datastores.answer_slots import SLOT_LEASE_MS, SLOT_RETRY_MS, SLOTS, AnswerSlots
from datastores.rates import Refusal
from datastores.redis_circuit import RedisCircuit
from datastores.redis_client import make_redis

TENANT, ANOTHER = TenantId(uuid4()), TenantId(uuid4())
KEY = f"colloquy:{TENANT.hex}:answer-slots"
FULL = Refusal(SLOTS, SLOT_RETRY_MS)


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    client = make_redis(settings)
    await client.flushdb()
    yield client
    await client.aclose()


def slots_on(redis: Redis, per_tenant: int = 2) -> AnswerSlots:
    return AnswerSlots(redis, RedisCircuit(answer_seconds=5), per_tenant=per_tenant)


async def let_leases_end(redis: Redis, *holders: UUID) -> None:
    """As if they had not been renewed for `SLOT_LEASE_MS`."""
    seconds, _ = await redis.time()
    await redis.zadd(KEY, {holder.hex: seconds * 1_000 - 1 for holder in holders}, xx=True)


async def test_so_many_are_given_out_and_one_more_when_one_comes_back(redis: Redis) -> None:
    slots, (first, second, third) = slots_on(redis), (uuid4(), uuid4(), uuid4())
    assert [await slots.acquire(TENANT, holder) for holder in (first, second, third)] == [None, None, FULL]
    assert await slots.acquire(ANOTHER, third) is None
    await slots.release(TENANT, first)
    assert await slots.acquire(TENANT, third) is None
    assert await redis.zcard(KEY) == 2


async def test_a_holder_has_one_slot_however_often_it_asks(redis: Redis) -> None:
    slots, one, other_process = slots_on(redis, 1), uuid4(), slots_on(redis, 1)
    for asked in (slots, other_process, slots):
        assert await asked.acquire(TENANT, one) is None
    assert await redis.zcard(KEY) == 1
    for asked in (slots, other_process):
        await asked.release(TENANT, one)
    assert await redis.exists(KEY) == 0


async def connected(client: Redis, times: int) -> None:
    """Open so many connections, however long a busy machine takes for it: it is not what is tested."""
    while True:
        try:
            await asyncio.gather(*(client.ping() for _ in range(times)))
        except RedisError:
            continue
        return


async def test_a_hundred_that_ask_at_once_of_two_processes_get_as_many_as_there_are(
    settings: Settings, redis: Redis
) -> None:
    other = make_redis(settings)
    processes = slots_on(redis, 7), slots_on(other, 7)
    try:
        for client in (redis, other):
            await connected(client, 50)
        outcomes = await asyncio.gather(*(processes[n % 2].acquire(TENANT, uuid4()) for n in range(100)))
    finally:
        await other.aclose()
    assert outcomes.count(None) == 7
    assert outcomes.count(FULL) == 93


async def test_who_waits_comes_before_newcomers_and_for_no_longer_than_it_asks(redis: Redis) -> None:
    slots, (first, waiting, newcomer) = slots_on(redis, 1), (uuid4(), uuid4(), uuid4())
    assert await slots.acquire_or_wait(TENANT, first)
    assert not await slots.acquire_or_wait(TENANT, waiting)
    await slots.release(TENANT, first)
    assert await slots.acquire(TENANT, newcomer) == FULL
    assert await slots.acquire_or_wait(TENANT, waiting)
    assert [slots.holds(holder) for holder in (first, waiting, newcomer)] == [False, True, False]
    await slots.release(TENANT, waiting)
    assert await slots.acquire(TENANT, newcomer) is None
    assert not await slots.acquire_or_wait(TENANT, waiting)
    await slots.release(TENANT, newcomer)
    seconds, _ = await redis.time()
    await redis.zadd(f"colloquy:{TENANT.hex}:answer-waits", {waiting.hex: seconds * 1_000 - 1}, xx=True)
    assert await slots.acquire(TENANT, newcomer) is None


async def test_a_slot_whose_holder_died_is_free_when_its_lease_ends(redis: Redis) -> None:
    slots, (dead, alive, new) = slots_on(redis), (uuid4(), uuid4(), uuid4())
    await slots.acquire(TENANT, dead)
    await slots.acquire(TENANT, alive)
    assert SLOT_LEASE_MS - 1_000 < await redis.pttl(KEY) <= SLOT_LEASE_MS
    await let_leases_end(redis, dead, alive)
    await slots.renew(TENANT, alive)
    assert await slots.acquire(TENANT, new) is None
    assert {name.decode() for name in await redis.zrange(KEY, 0, -1)} == {alive.hex, new.hex}


async def test_what_runs_on_after_redis_lost_its_slot_counts_even_beyond_the_limit(redis: Redis) -> None:
    slots, running = slots_on(redis), [uuid4(), uuid4()]
    for holder in running:
        await slots.acquire(TENANT, holder)
    await redis.flushdb()
    assert await slots.acquire(TENANT, uuid4()) is None
    for holder in running:
        await slots.renew(TENANT, holder)
    assert await redis.zcard(KEY) == 3
    assert await slots.acquire(TENANT, uuid4()) == FULL


async def test_a_lease_of_a_clock_that_was_set_back_does_not_last(redis: Redis) -> None:
    slots, seconds = slots_on(redis, 1), (await redis.time())[0]
    await redis.zadd(KEY, {uuid4().hex: (seconds + 86_400) * 1_000})
    assert await slots.acquire(TENANT, uuid4()) is None


async def test_without_redis_a_process_counts_its_own_and_those_it_had(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, scratch=True)
    await asyncio.to_thread(server.start)
    redis = make_redis(Settings(redis_url=server.url))
    try:
        slots, elsewhere = (AnswerSlots(redis, RedisCircuit(pause_seconds=0.05), per_tenant=2) for _ in range(2))
        before, during = uuid4(), uuid4()
        assert await slots.acquire(TENANT, before) is None
        await asyncio.to_thread(server.stop)
        assert await slots.acquire(TENANT, during) is None
        assert await slots.acquire(TENANT, during) is None
        assert await slots.acquire(TENANT, uuid4()) == FULL
        assert await slots.acquire(ANOTHER, uuid4()) is None
        await slots.release(TENANT, before)
        assert await slots.acquire(TENANT, before) is None
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(10):
            # Its next renewals tell Redis of what began without it.
            while await redis.zcard(KEY) < 2:
                await asyncio.sleep(0.02)
                await slots.renew(TENANT, during)
                await slots.renew(TENANT, before)
        assert await elsewhere.acquire(TENANT, uuid4()) == FULL
    finally:
        await redis.aclose()
        await asyncio.to_thread(server.stop)
