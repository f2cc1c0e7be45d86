"""Rate limits on a real Redis: how many at once, how many in the long run, and together with other limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
import redis as sync_redis
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.commands.core import Script

from core.ids import TenantId
from core.settings import Settings
from datastores.local_rate_limits import LocalRateLimiter
from datastores.rate_limits import GCRA, RateLimiter
from datastores.rates import Demand, Limit, RateLimits, Refusal, Subject, Subjects
from datastores.redis_circuit import RedisCircuit
from datastores.redis_client import make_redis
from embedded_servers import Servers

SECOND = 1_000_000
SOMEBODY, ANOTHER = Subject("person:1"), Subject("person:2")
SLOW = Limit("slow", per_minute=1, burst=3)


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    client = make_redis(settings)
    await client.flushdb()
    yield client
    await client.aclose()


def limiter_on(redis: Redis) -> RateLimiter:
    """Patient: on a busy machine Redis must not be taken for away, or the process's own limiter would be tested."""
    return RateLimiter(redis, RedisCircuit(answer_seconds=5))


async def test_a_burst_is_admitted_at_once_and_the_next_when_it_was_told(redis: Redis) -> None:
    limiter, limit = limiter_on(redis), Limit("requests", per_minute=300, burst=4)
    assert [await limiter.take(Demand(limit, SOMEBODY)) for _ in range(4)] == [None] * 4
    refused = await limiter.take(Demand(limit, SOMEBODY))
    assert refused is not None
    assert refused.limit == "requests"
    assert 100 < refused.retry_after_ms <= 200
    assert await limiter.take(Demand(limit, ANOTHER)) is None
    await asyncio.sleep(refused.retry_after_ms / 1_000)
    assert await limiter.take(Demand(limit, SOMEBODY)) is None
    again = await limiter.take(Demand(limit, SOMEBODY))
    assert again is not None
    assert again.retry_after_ms <= 200


async def test_who_waits_less_than_told_is_refused_by_redis_too(redis: Redis) -> None:
    limit = Limit("requests", per_minute=120, burst=1)
    first, another_process = limiter_on(redis), limiter_on(redis)
    await first.take(Demand(limit, SOMEBODY))
    refused = await first.take(Demand(limit, SOMEBODY))
    assert refused is not None
    await asyncio.sleep(refused.retry_after_ms / 1_000 - 0.15)
    still = await another_process.take(Demand(limit, SOMEBODY))
    assert still is not None
    assert 0 < still.retry_after_ms <= 160


async def test_a_hundred_at_once_from_two_processes_get_exactly_the_burst(settings: Settings, redis: Redis) -> None:
    other = make_redis(settings)
    limit = Limit("requests", per_minute=1, burst=10)
    limiters = [limiter_on(redis), limiter_on(other)]
    try:
        outcomes = await asyncio.gather(*(limiters[n % 2].take(Demand(limit, SOMEBODY)) for n in range(100)))
    finally:
        await other.aclose()
    assert outcomes.count(None) == 10
    assert all(59_000 < refused.retry_after_ms <= 60_000 for refused in outcomes if refused is not None)


async def test_several_demands_are_admitted_together_or_not_at_all(redis: Redis) -> None:
    limiter, wide, narrow = limiter_on(redis), Limit("wide", 1, 5), Limit("narrow", 2, 1)
    assert await limiter.take(Demand(wide, SOMEBODY), Demand(narrow, SOMEBODY)) is None
    before = await redis.get("colloquy:rate:wide:person:1")
    refused = await limiter.take(Demand(wide, SOMEBODY), Demand(narrow, SOMEBODY))
    assert refused is not None
    assert refused.limit == "narrow"
    assert 29_000 < refused.retry_after_ms <= 30_000
    assert await redis.get("colloquy:rate:wide:person:1") == before
    assert [await limiter.take(Demand(wide, SOMEBODY)) for _ in range(4)] == [None] * 4
    # Both refuse now: the one that lasts longer is told.
    both = await limiter.take(Demand(narrow, SOMEBODY), Demand(wide, SOMEBODY))
    assert both is not None
    assert both.limit == "wide"
    assert both.retry_after_ms > 59_000


async def test_a_cost_counts_as_so_many_requests(redis: Redis) -> None:
    limiter = limiter_on(redis)
    assert await limiter.take(Demand(SLOW, SOMEBODY, cost=2)) is None
    refused = await limiter.take(Demand(SLOW, SOMEBODY, cost=2))
    assert refused is not None
    assert await limiter.take(Demand(SLOW, SOMEBODY, cost=1)) is None


async def test_demands_that_no_wait_would_make_good_are_mistakes(redis: Redis) -> None:
    with pytest.raises(ValueError, match="a cost of 4, expected 1 to 3"):
        Demand(SLOW, SOMEBODY, cost=4)
    with pytest.raises(ValueError, match="0 a minute"):
        Limit("none", per_minute=0, burst=1)
    with pytest.raises(ValueError, match="sum of their costs"):
        await limiter_on(redis).take(Demand(SLOW, SOMEBODY), Demand(SLOW, SOMEBODY))
    assert await redis.keys("colloquy:rate:*") == []
    assert await limiter_on(redis).take() is None


async def test_a_key_is_gone_when_all_is_paid_off(redis: Redis) -> None:
    limiter, quick = limiter_on(redis), Limit("quick", per_minute=1_200, burst=4)
    for _ in range(2):
        await limiter.take(Demand(SLOW, SOMEBODY), Demand(quick, SOMEBODY))
    assert 119_000 < await redis.pttl("colloquy:rate:slow:person:1") <= 120_000
    assert 0 < await redis.pttl("colloquy:rate:quick:person:1") <= 100
    await asyncio.sleep(0.11)
    assert await redis.exists("colloquy:rate:quick:person:1") == 0


async def test_nobody_waits_for_a_clock_that_was_set_back(redis: Redis) -> None:
    seconds, _ = await redis.time()
    await redis.set("colloquy:rate:slow:person:1", (seconds + 86_400) * SECOND)
    refused = await limiter_on(redis).take(Demand(SLOW, SOMEBODY))
    assert refused == Refusal("slow", 60_000)


def test_a_refusal_is_rounded_up_to_what_http_can_say() -> None:
    assert [Refusal("x", ms).retry_after_seconds for ms in (1, 1_000, 1_001)] == [1, 1, 2]
    assert Refusal.after("x", 1_001) == Refusal("x", 2)


@pytest.fixture(scope="module")
def scripted(servers: Servers) -> Iterator[tuple[sync_redis.Redis, Script]]:
    """The decision with a clock that the test sets: the last argument, in microseconds."""
    client = sync_redis.Redis.from_url(servers.redis())
    client.flushdb()
    yield client, client.register_script("local now = tonumber(table.remove(ARGV))\n" + GCRA)
    client.close()


# Intervals of seconds: Redis expires keys by its own clock, and an example takes a small part of that.
LIMITS = [Limit("three", 3, 1), Limit("seven", 7, 4), Limit("twenty", 20, 10)]
DEMANDS = st.builds(
    lambda limit, subject, cost: Demand(limit, subject, min(cost, limit.burst)),
    st.sampled_from(LIMITS),
    st.sampled_from([SOMEBODY, ANOTHER]),
    st.integers(1, 3),
)
SCHEDULES = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(0, 3 * SECOND), st.integers(0, 120 * SECOND)),
        st.lists(DEMANDS, min_size=1, max_size=4, unique_by=lambda demand: demand.key),
    ),
    min_size=1,
    max_size=40,
)


@hypothesis_settings(deadline=None, max_examples=150)
@given(schedule=SCHEDULES, start=st.integers(1_500_000_000 * SECOND, 4_000_000_000 * SECOND))
def test_script_and_local_limiter_agree_on_every_schedule(
    scripted: tuple[sync_redis.Redis, Script], schedule: list[tuple[int, list[Demand]]], start: int
) -> None:
    client, script = scripted
    client.flushdb()
    local, now = LocalRateLimiter(), start
    for later, demands in schedule:
        now += later
        numbers = [number for demand in demands for number in (demand.increment_us, demand.limit.tolerance_us)]
        outcome = script(keys=[demand.key for demand in demands], args=[*numbers, now])
        by_script = outcome and Refusal.after(demands[outcome[0] - 1].limit.name, outcome[1])
        assert local.take(*demands, now_us=now) == by_script


@given(
    limit=st.builds(Limit, st.just("any"), st.integers(1, 100_000), st.integers(1, 20)),
    steps=st.lists(st.floats(0, 4), max_size=60),
)
def test_no_stretch_of_time_admits_more_than_burst_and_rate(limit: Limit, steps: list[float]) -> None:
    local, now, admitted = LocalRateLimiter(), 0, list[int]()
    for step in steps:
        now += int(step * limit.interval_us)
        refused = local.take(Demand(limit, SOMEBODY), now_us=now)
        if refused is None:
            admitted.append(now)
        else:
            wait = refused.retry_after_ms * 1_000
            # What it tells is enough, and a millisecond less is not.
            assert len(admitted) >= limit.burst
            assert wait - 1_000 < limit.interval_us
    for first, since in enumerate(admitted):
        for last, until in enumerate(admitted[first:], start=1):
            assert last <= limit.burst + (until - since) / limit.interval_us


@given(limit=st.builds(Limit, st.just("any"), st.integers(1, 100_000), st.integers(1, 20)), late=st.integers(0, 10**9))
def test_the_wait_that_is_told_is_enough_and_two_milliseconds_less_are_not(limit: Limit, late: int) -> None:
    local = LocalRateLimiter()
    for _ in range(limit.burst):
        assert local.take(Demand(limit, SOMEBODY), now_us=late) is None
    refused = local.take(Demand(limit, SOMEBODY), now_us=late)
    assert refused is not None
    told = late + refused.retry_after_ms * 1_000
    if refused.retry_after_ms > 2:
        assert local.take(Demand(limit, SOMEBODY), now_us=told - 2_000) is not None
    assert local.take(Demand(limit, SOMEBODY), now_us=told) is None


def test_the_local_limiter_forgets_whoever_came_longest_ago() -> None:
    local = LocalRateLimiter(subjects=100)
    one = Limit("one", per_minute=1, burst=1)
    for number in range(100):
        assert local.take(Demand(one, Subject(str(number)))) is None
    assert local.take(Demand(one, Subject("0"))) is not None
    for number in range(100, 150):
        assert local.take(Demand(one, Subject(str(number)))) is None
    assert len(local) == 100
    assert local.take(Demand(one, Subject("149"))) is not None
    assert local.take(Demand(one, Subject("0"))) is None


def test_the_settings_make_the_limits() -> None:
    limits = RateLimits.of(Settings(rate_limit_requests_per_minute=600, rate_limit_sign_in_burst=7))
    assert limits.requests == Limit("requests", 600, 10)
    assert limits.sign_in == Limit("sign-in", 5, 7)
    assert limits.sign_in_account == Limit("sign-in-account", 10, 14)


SUBJECTS = Subjects("a secret key for tests, 32 characters")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:1::1", "2001:DB8:0:0001::1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        (None, "", True),
        (None, "/run/colloquy.sock", True),
        (None, "0.0.0.0", False),
    ],
)
def test_an_address_is_ipv4_whole_and_ipv6_by_its_network(one: str | None, other: str, same: bool) -> None:
    assert (SUBJECTS.address(one) == SUBJECTS.address(other)) is same


def test_addresses_and_accounts_are_not_readable_and_take_the_secret() -> None:
    for make, value in ((Subjects.address, "192.0.2.1"), (Subjects.account, "ada@example.com")):
        subject = make(SUBJECTS, value)
        assert value not in subject
        assert subject == make(Subjects("a secret key for tests, 32 characters"), value)
        assert subject != make(Subjects("another secret for tests, 32 characters"), value)
    assert SUBJECTS.account("192.0.2.1").split(":")[1] != SUBJECTS.address("192.0.2.1").split(":")[1]
    assert SUBJECTS.account("\ud800@example.com") != SUBJECTS.account("@example.com")


def test_people_of_two_tenants_are_two_subjects() -> None:
    user = uuid4()
    tenants = TenantId(uuid4()), TenantId(uuid4())
    assert len({SUBJECTS.person(tenant, user) for tenant in tenants}) == 2
