"""Redis is away, and then a process that writes answers ends: PostgreSQL knows who has gone, and who has not."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from asking import StartApi, ask, post
from follower import TRANSPORTS, Follower, spoken

from app.embedded.processes import at_once
from app.embedded.redis import EmbeddedRedis
from core.settings import Settings
from own_servers import frozen, own_redis
from owner import as_owner, uuid_of
from product import Person

# Processes that start, one answer of half a minute, and one that is begun again.
pytestmark = [pytest.mark.long, pytest.mark.timeout(150)]
HANDED_OVER_SECONDS = 4.0
"""A sweep's pause, and the time to begin."""
STOPPED_SECONDS = 8.0
TAKEOVER_SECONDS = 14.0
FOLLOWED_SECONDS = 10.0
"""After the answer was stored."""
BUSY = 3
"""The machine may be slower than its clock: what is bounded in seconds has so many times as long."""
STOP = """mutation($input: StopAnswerInput!) { stopAnswer(input: $input) { __typename
  ... on StopAnswerPayload { answer { status } } } }"""


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    async with own_redis(tmp_path) as server:
        yield server


@pytest.fixture
def settings(settings: Settings, cache: EmbeddedRedis) -> Settings:
    """Those of a product with a Redis of its own."""
    return settings.model_copy(update={"redis_url": cache.url})


def drawn_out(settings: Settings) -> Settings:
    """Of a process whose answers take longer (half a minute) than anybody waits for a sign of life."""
    return settings.model_copy(update={"local_token_interval_ms": 1_800})


def everywhere(http: aiohttp.ClientSession, reader: Person, answer: str, url: str) -> list[Follower]:
    """A follower over each transport."""
    return [Follower(http, [url], reader.token, answer) for _ in TRANSPORTS]


async def state(settings: Settings, answer: str) -> tuple[int, str]:
    """Epoch and status."""
    (row,) = await as_owner(settings, "SELECT epoch, status::text FROM answers WHERE id = $1", uuid_of(answer))
    return row  # type: ignore[return-value]


async def until_taken(settings: Settings, answer: str, epoch: int, seconds: float) -> None:
    async with asyncio.timeout(BUSY * seconds):
        while (await state(settings, answer))[0] < epoch:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.1)


async def until_alive(settings: Settings, processes: int) -> None:
    """Wait until so many have shown life, as they do every two seconds."""
    async with asyncio.timeout(BUSY * 3):
        while await as_owner(settings, "SELECT count(*) FROM answer_producers") != [(processes,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def begin(group: asyncio.TaskGroup, followers: list[Follower]) -> None:
    for follower, transport in zip(followers, TRANSPORTS, strict=True):
        group.create_task(follower.follow([transport]))


def check(followers: list[Follower], kind: str = "AnswerCompleted") -> None:
    """All ended so, with the same text, which `Follower` has compared with the stored one."""
    assert {follower.terminal and follower.terminal["__typename"] for follower in followers} == {kind}
    assert len({follower.place.text for follower in followers}) == 1


async def test_what_a_process_hands_over_at_its_end_is_begun_again_at_once(
    slow: Settings, start_api: StartApi, reader: Person, http: aiohttp.ClientSession, cache: EmbeddedRedis
) -> None:
    ending, other = await start_api(settings=drawn_out(slow)), await start_api()
    answer = await ask(http, ending.url, reader)
    followers = everywhere(http, reader, answer, other.url)
    async with asyncio.TaskGroup() as group:
        begin(group, followers)
        await spoken(*followers)
        await until_alive(slow, 1)
        with frozen(cache):
            ending.send(signal.SIGTERM)
            await ending.ended(BUSY * 7)
            # As if it had shown life in this moment, and in every one to come: nobody may have to wait for its silence.
            await as_owner(slow, "UPDATE answer_producers SET seen_at = now() + interval '1 hour'")
            await until_taken(slow, answer, 2, HANDED_OVER_SECONDS)
            async with asyncio.timeout(BUSY * (4 + FOLLOWED_SECONDS)):
                while not all(follower.terminal for follower in followers):  # noqa: ASYNC110 - of other tasks
                    await asyncio.sleep(0.05)
    check(followers)
    assert await state(slow, answer) == (2, "COMPLETED")


async def test_the_answers_of_a_killed_process_are_taken_over_and_stopped_and_those_of_a_living_one_are_not(
    slow: Settings, start_api: StartApi, reader: Person, http: aiohttp.ClientSession, cache: EmbeddedRedis
) -> None:
    dying, living = [await start_api(settings=drawn_out(slow)) for _ in range(2)]
    other = await start_api()
    left, unwanted = [await ask(http, dying.url, reader) for _ in range(2)]
    kept = await ask(http, living.url, reader)
    of_left, of_unwanted, of_kept = (everywhere(http, reader, one, other.url) for one in (left, unwanted, kept))
    async with asyncio.TaskGroup() as group:
        for followers in (of_left, of_unwanted, of_kept):
            begin(group, followers)
        await spoken(*of_left, *of_unwanted, *of_kept)
        await until_alive(slow, 2)
        await asyncio.to_thread(cache.stop, at_once)
        dying.send(signal.SIGKILL)
        killed = time.monotonic()
        stopped = await post(http, other.url, reader.token, STOP, {"input": {"answerId": unwanted}})
        assert stopped["__typename"] == "StopAnswerPayload"
        await until_taken(slow, unwanted, 2, STOPPED_SECONDS)
        assert (await state(slow, left))[0] == 1, "it is stopped before others are taken over"
        await until_taken(slow, left, 2, TAKEOVER_SECONDS)
        assert time.monotonic() - killed > 6, "nobody can tell that early whether it has died"
    check(of_left)
    check(of_unwanted, "AnswerStopped")
    check(of_kept)
    assert await state(slow, left) == (2, "COMPLETED")
    assert await state(slow, unwanted) == (2, "STOPPED")
    assert await state(slow, kept) == (1, "COMPLETED"), "its process lived"
