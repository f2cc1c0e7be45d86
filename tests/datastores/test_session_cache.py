"""Copies of sessions: a change counts in its process at once, and is told to Redis until Redis has it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from redis.asyncio.client import PubSub
from structlog.testing import capture_logs

from core.ids import TenantId
from core.settings import Settings
from datastores import redis_keys, session_cache
from datastores.models import Role
from datastores.records import UserRecord
from datastores.redis_circuit import RedisCircuit
from datastores.redis_client import make_redis
from datastores.session_cache import EVERYBODY, SessionCache
from owner import until
from wire import Relay, relayed

TENANT, SESSION = TenantId(uuid4()), uuid4()
PERSON = UserRecord(uuid4(), TENANT, "Pat", "pat@example.test", Role.USER, datetime.now(UTC), None, None)
WHICH = pytest.mark.parametrize("whole_tenant", [True, False], ids=["a tenant", "a session"])


@asynccontextmanager
async def cache_at(settings: Settings, url: str, live_url: str) -> AsyncGenerator[SessionCache]:
    """A process's cache, with its copies at one URL and its live channels at another."""
    copies, live = (make_redis(settings.model_copy(update={"redis_url": one})) for one in (url, live_url))
    cache = SessionCache(copies, live, RedisCircuit(), ttl=60)
    yield cache
    await cache.aclose()
    for client in (copies, live):
        await client.aclose()


@dataclass
class Two:
    """One process whose way to Redis can be cut, and another."""

    cut: SessionCache
    other: SessionCache
    relay: Relay
    ear: PubSub

    async def change(self, whole_tenant: bool) -> bool:
        """Whether it was announced."""
        return await (self.cut.forget_tenant(TENANT) if whole_tenant else self.cut.forget(TENANT, [SESSION]))

    async def heard(self) -> bytes | None:
        async with asyncio.timeout(5):
            return (await self.ear.get_message(timeout=5) or {}).get("data")


@pytest.fixture
async def two(settings: Settings) -> AsyncIterator[Two]:
    """Both have seen the session's copy."""
    url = settings.redis_url
    assert url is not None
    own = make_redis(settings)
    await own.flushdb()
    async with relayed(url) as (cut_url, relay), own.pubsub() as ear:
        await ear.subscribe(redis_keys.identity_live(TENANT))
        assert (await ear.get_message(timeout=5) or {})["type"] == "subscribe"
        async with cache_at(settings, cut_url, cut_url) as cut, cache_at(settings, url, url) as other:
            await other.put(SESSION, PERSON, time.time())
            assert await cut.get(TENANT, SESSION) == await other.get(TENANT, SESSION) == PERSON
            yield Two(cut, other, relay, ear)
    await own.aclose()


@WHICH
async def test_a_change_is_announced_though_the_copies_are_on_a_server_that_is_away_and_again_when_they_are_gone(
    settings: Settings, whole_tenant: bool
) -> None:
    url = settings.redis_url
    assert url is not None
    live = make_redis(settings)
    async with relayed(url) as (away, relay), live.pubsub() as ear, cache_at(settings, away, url) as cache:
        await relay.close()
        await ear.subscribe(redis_keys.identity_live(TENANT))
        assert (await ear.get_message(timeout=5) or {})["type"] == "subscribe"
        assert await (cache.forget_tenant(TENANT) if whole_tenant else cache.forget(TENANT, [SESSION]))
        async with asyncio.timeout(10):
            said = [(await ear.get_message(timeout=5) or {}).get("data")]
            await relay.listen_again()
            said.append((await ear.get_message(timeout=5) or {}).get("data"))
            key = redis_keys.tenant_changed(TENANT) if whole_tenant else redis_keys.session(TENANT, SESSION)
            assert await live.get(key) == b""
    assert said == [EVERYBODY if whole_tenant else SESSION.hex.encode()] * 2
    await live.aclose()


@WHICH
async def test_what_redis_could_not_be_told_counts_here_at_once_and_elsewhere_when_it_is_back(
    two: Two, whole_tenant: bool
) -> None:
    two.relay.hang()
    began = time.monotonic()
    assert not await two.change(whole_tenant)
    assert time.monotonic() - began < 1
    # The copy is still there, for whoever does not know better.
    assert await two.other.get(TENANT, SESSION) == PERSON
    await two.relay.answer_again()
    assert await two.cut.get(TENANT, SESSION) is None
    back = time.monotonic()

    async def told() -> bool:
        return await two.other.get(TENANT, SESSION) is None

    async with asyncio.timeout(5):
        await until(told)
    assert await two.heard() == (EVERYBODY if whole_tenant else SESSION.hex.encode())
    assert time.monotonic() - back < 2
    # What was read before the change is not put back, by anybody.
    await two.other.put(SESSION, PERSON, time.time())
    assert await two.other.get(TENANT, SESSION) is None


@WHICH
async def test_what_was_read_before_a_change_is_not_put_back_though_redis_knows_nothing_of_it(
    two: Two, whole_tenant: bool
) -> None:
    two.relay.hang()
    await two.change(whole_tenant)
    await two.relay.answer_again()
    before, unchanged = replace(PERSON, name="Before"), uuid4()
    for session in (SESSION, unchanged):
        await two.cut.put(session, before, time.time())
    assert await two.other.get(TENANT, SESSION) != before
    # Of a session that has not changed copies are made as ever.
    assert (await two.other.get(TENANT, unchanged) == before) is not whole_tenant


async def test_a_cancelled_change_is_told_all_the_same(two: Two) -> None:
    two.relay.hang()
    changing = asyncio.create_task(two.change(whole_tenant=False))
    await asyncio.sleep(0)
    changing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await changing
    await two.relay.answer_again()
    assert await two.cut.get(TENANT, SESSION) is None
    assert await two.heard() == SESSION.hex.encode()
    assert await two.other.get(TENANT, SESSION) is None


async def test_a_process_that_ends_tries_a_last_time(two: Two) -> None:
    two.relay.hang()
    await two.change(whole_tenant=False)
    await two.relay.answer_again()
    await two.cut.aclose()
    assert await two.other.get(TENANT, SESSION) is None
    assert await two.heard() == SESSION.hex.encode()


async def test_a_process_that_ends_while_redis_hangs_is_not_held_up(two: Two) -> None:
    two.relay.hang()
    await two.change(whole_tenant=False)
    async with asyncio.timeout(2):
        await two.cut.aclose()


async def test_when_no_copy_of_before_is_trusted_any_more_the_process_stops_trying_and_trusts_new_ones(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_cache, "VERIFY_SECONDS", 0.6)
    two.relay.hang()
    with capture_logs() as lines:
        await two.change(whole_tenant=False)

        async def given_up() -> bool:
            return lines[-1]["event"] == "change of sessions never told"

        async with asyncio.timeout(5):
            await until(given_up)
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == [
        "change of sessions not told",
        "change of sessions never told",
    ]
    await two.relay.answer_again()
    await two.cut.put(SESSION, PERSON, time.time() + 5)
    assert await two.cut.get(TENANT, SESSION) == PERSON
