"""The live channels: what followers come and go through disturbs nobody."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator

import pytest
from redis._parsers.hiredis import _AsyncHiredisParser
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.connection import AbstractConnection

from core.settings import Settings
from core.tasks import end_tasks
from datastores.live import LiveChannels, LiveFeed, _OneConnection
from datastores.redis_client import make_redis
from redis_faults import cut_live_channels


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    """A client of its own."""
    client = make_redis(settings)
    yield client
    await client.aclose()


@pytest.fixture
async def live(redis: Redis) -> AsyncIterator[LiveChannels]:
    """Channels that listen."""
    channels = LiveChannels(redis)
    await channels.start()
    yield channels
    await channels.aclose()


async def _heard(redis: Redis, feed: LiveFeed, channel: str, text: str) -> None:
    """Published, and received, though a gap may come first."""
    await redis.publish(channel, text)
    async with asyncio.timeout(5):
        while (messages := await feed.take(5)) is None:
            await redis.publish(channel, text)
    assert text.encode() in messages


async def _follow_for_a_moment(live: LiveChannels, channel: str) -> None:
    async with live.follow(channel):
        await asyncio.sleep(0)


@pytest.mark.parametrize("passes", [0, 1, 2, 4])
async def test_followers_that_are_broken_off_silence_nobody(live: LiveChannels, redis: Redis, passes: int) -> None:
    async with live.follow("watched") as feed:
        for number in range(15):
            comers = [asyncio.create_task(_follow_for_a_moment(live, f"other {n % 2}")) for n in range(4)]
            for _ in range(passes):
                await asyncio.sleep(0)
            await end_tasks(comers)
            await _heard(redis, feed, "watched", f"message {number}")


async def test_a_connection_that_is_lost_while_followers_come_and_go_is_made_again(
    live: LiveChannels, redis: Redis
) -> None:
    async with live.follow("watched") as feed:
        for number in range(4):
            comers = [asyncio.create_task(_follow_for_a_moment(live, f"other {n}")) for n in range(4)]
            await cut_live_channels(redis)
            await end_tasks(comers)
            await _heard(redis, feed, "watched", f"message {number}")
    async with live.follow("watched") as feed:
        await _heard(redis, feed, "watched", "the last message")


async def test_a_channel_that_is_left_and_joined_at_once_is_heard(live: LiveChannels, redis: Redis) -> None:
    for number in range(30):
        async with live.follow("watched"):
            pass
        for _ in range(number % 4):
            await asyncio.sleep(0)
        async with live.follow("watched") as feed:
            await _heard(redis, feed, "watched", f"message {number}")


async def test_what_nobody_follows_any_more_is_unsubscribed(live: LiveChannels, redis: Redis) -> None:
    async with live.follow("watched"):
        pass
    # Sent on one connection, in order: once this one is confirmed, the others are gone.
    async with live.follow("next"):
        channels = await redis.pubsub_channels("watched")
    assert channels == []


class _Failing:
    """Listens, and fails at it."""

    gaps = 0

    def push(self, data: bytes) -> None:
        raise RuntimeError(data.decode())

    def mark_gap(self) -> None:
        self.gaps += 1


async def test_a_listener_that_fails_is_told_of_a_gap_and_silences_nobody(live: LiveChannels, redis: Redis) -> None:
    failing = _Failing()
    async with live.follow("watched") as feed:
        live.join("watched", failing)
        await _heard(redis, feed, "watched", "a message")
        await _heard(redis, feed, "watched", "another")
        live.leave("watched", failing)
    assert failing.gaps >= 2


def test_redis_py_comes_by_the_private_method_that_keeps_it_from_connecting_in_any_task() -> None:
    assert list(inspect.signature(PubSub._disconnect_raise_connect).parameters) == ["self", "conn", "error"]
    assert _OneConnection._disconnect_raise_connect is not PubSub._disconnect_raise_connect
    assert "self._disconnect_raise_connect(" in inspect.getsource(PubSub._execute)


def test_the_parser_has_what_messages_are_read_by() -> None:
    """Private to redis-py: an upgrade that moves it must fail here."""
    source = inspect.getsource(_AsyncHiredisParser)
    assert "self._reader.gets()" in source
    assert "response is NOT_ENOUGH_DATA" in source
    assert inspect.iscoroutinefunction(_AsyncHiredisParser.read_from_socket)
    assert inspect.iscoroutinefunction(PubSub.handle_message)
    assert "self._parser" in inspect.getsource(AbstractConnection)


async def test_what_is_unsubscribed_is_forgotten_by_the_library_too(live: LiveChannels, redis: Redis) -> None:
    async with live.follow("watched"):
        pass
    async with live.follow("next") as feed:
        await _heard(redis, feed, "next", "a message")
        (pubsub,) = [each for each in gc.get_objects() if isinstance(each, _OneConnection) and b"next" in each.channels]
        assert b"watched" not in pubsub.channels
        assert not pubsub.pending_unsubscribe_channels
