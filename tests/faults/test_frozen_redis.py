"""Redis hangs: it takes what it is sent, answers nothing, and may carry it all out when it wakes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from asking import StartApi, ask
from follower import TRANSPORTS, Follower, spoken

from app.embedded.redis import EmbeddedRedis
from core.settings import Settings
from own_servers import frozen, own_redis
from owner import as_owner
from product import Person

pytestmark = [pytest.mark.long, pytest.mark.timeout(60)]
STORED_SECONDS = 3.0
"""After the model's end; what is asked of an answer whose log cannot be written."""
FOLLOWED_SECONDS = 10.0
"""After the answer was stored: the silence that is looked into, and reading PostgreSQL."""
MODEL_SECONDS = 4.0
"""The model's whole answer takes less."""
BUSY = 2
"""The machine may be slower than its clock."""


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    async with own_redis(tmp_path) as server:
        yield server


@pytest.fixture
def settings(settings: Settings, cache: EmbeddedRedis) -> Settings:
    """Those of a product with a Redis of its own."""
    return settings.model_copy(update={"redis_url": cache.url})


def everywhere(http: aiohttp.ClientSession, reader: Person, answer: str, *urls: str) -> list[Follower]:
    """A follower of each process over each transport, in the order of `TRANSPORTS`."""
    return [Follower(http, [url], reader.token, answer) for url in urls for _ in TRANSPORTS]


def begin(group: asyncio.TaskGroup, followers: list[Follower]) -> None:
    for number, follower in enumerate(followers):
        group.create_task(follower.follow([TRANSPORTS[number % 3]]))


def check(followers: list[Follower]) -> str:
    """The one text with which all of them ended."""
    assert {follower.terminal and follower.terminal["__typename"] for follower in followers} == {"AnswerCompleted"}
    (text,) = {follower.place.text for follower in followers}
    assert "1936" in text
    return text


async def stored(settings: Settings) -> str:
    """The answer's text, as soon as it is in PostgreSQL."""
    while not (rows := await as_owner(settings, "SELECT text FROM messages WHERE answer_id IS NOT NULL")):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return str(rows[0][0])


async def test_frozen_for_good_an_answer_is_stored_at_its_end_and_its_followers_get_it(
    slow: Settings, start_api: StartApi, reader: Person, http: aiohttp.ClientSession, cache: EmbeddedRedis
) -> None:
    writing, other = await start_api(), await start_api()
    answer = await ask(http, writing.url, reader)
    followers = everywhere(http, reader, answer, writing.url, other.url)
    async with asyncio.TaskGroup() as group:
        begin(group, followers)
        await spoken(*followers)
        with frozen(cache):
            began = time.monotonic()
            text = await stored(slow)
            took = time.monotonic() - began
            assert took < MODEL_SECONDS + BUSY * STORED_SECONDS
            while not all(follower.terminal for follower in followers):
                await asyncio.sleep(0.05)
                assert time.monotonic() - began < took + BUSY * FOLLOWED_SECONDS
            late = Follower(http, [other.url], reader.token, answer)
            await late.follow(["sse"])
    assert check([*followers, late]) == text


@pytest.mark.parametrize("word", ["cable", "2011"], ids=["in mid-answer", "at its end"])
async def test_frozen_for_five_seconds_leaves_one_end_and_no_hole(
    slow: Settings,
    start_api: StartApi,
    reader: Person,
    http: aiohttp.ClientSession,
    cache: EmbeddedRedis,
    word: str,
) -> None:
    writing, other = await start_api(), await start_api()
    answer = await ask(http, writing.url, reader)
    followers = everywhere(http, reader, answer, writing.url, other.url)
    async with asyncio.TaskGroup() as group:
        begin(group, followers)
        await spoken(*followers)
        while word not in followers[0].place.text:  # noqa: ASYNC110 - of another task
            await asyncio.sleep(0.005)
        with frozen(cache):
            await asyncio.sleep(5)  # the freeze itself
    text = check(followers)
    assert await stored(slow) == text
    assert await as_owner(slow, "SELECT epoch, status::text FROM answers") == [(1, "COMPLETED")]
    # What Redis did when it woke stays the same answer, to whoever comes with or without a place.
    for after in (None, followers[0].seen[0], followers[0].seen[-2]):
        late = Follower(http, [other.url], reader.token, answer, **({"place": after} if after else {}))
        await asyncio.wait_for(late.follow(["websocket"]), BUSY * FOLLOWED_SECONDS)
        assert check([late]) == text
