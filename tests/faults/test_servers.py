"""The servers beside us die while answers are written: PostgreSQL and Redis of the test's own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from asking import StartApi, ask
from follower import TRANSPORTS, Follower, spoken

from app.embedded.postgres import EmbeddedPostgres
from app.embedded.processes import at_once
from app.embedded.redis import EmbeddedRedis
from core.settings import Settings
from own_servers import on_own_servers, own_postgres, own_redis
from owner import as_owner
from product import Person

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """PostgreSQL of the test's own."""
    async with own_postgres(tmp_path) as server:
        yield server


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    """Redis of the test's own."""
    async with own_redis(tmp_path) as server:
        yield server


@pytest.fixture
async def settings(settings: Settings, database: EmbeddedPostgres, cache: EmbeddedRedis) -> Settings:
    """Those of a product on them."""
    return await on_own_servers(settings, database, cache)


def is_whole(follower: Follower) -> bool:
    """Whether it ended with a whole answer; else it was told to ask again."""
    assert follower.terminal is not None
    if follower.terminal["__typename"] == "AnswerCompleted":
        assert "1936" in follower.place.text
        return True
    assert follower.terminal["__typename"] == "AnswerFailed"
    assert follower.terminal["failure"]["retryable"] is True
    return False


async def test_an_immediate_restart_of_postgresql_leaves_every_answer_whole_or_failed_retryably(
    slow: Settings, start_api: StartApi, reader: Person, http: aiohttp.ClientSession, database: EmbeddedPostgres
) -> None:
    apis = [await start_api(), await start_api()]
    answers = [await ask(http, apis[number % 2].url, reader) for number in range(4)]
    urls = [api.url for api in apis]
    followers = [
        Follower(http, urls[number % 2 :] + urls[: number % 2], reader.token, answer)
        for number, answer in enumerate(answers)
        for _ in TRANSPORTS
    ]
    async with asyncio.TaskGroup() as group:
        for number, follower in enumerate(followers):
            group.create_task(follower.follow([TRANSPORTS[number % 3]]))
        await spoken(*followers)
        assert database.pid is not None
        os.kill(database.pid, signal.SIGQUIT)
        await asyncio.to_thread(database.stop)
        await asyncio.sleep(1)
        await asyncio.to_thread(database.start)
    for number in range(len(answers)):
        same = followers[3 * number : 3 * number + 3]
        assert len({(is_whole(follower), follower.place.text) for follower in same}) == 1
    rows = await as_owner(
        slow,
        "SELECT a.id, a.status::text, m.text FROM answers a LEFT JOIN messages m ON m.answer_id = a.id",
    )
    stored = {id.hex: (status, text) for id, status, text in rows}
    assert {status for status, _ in stored.values()} <= {"COMPLETED", "FAILED"}
    for follower in followers:
        status, text = stored[follower.answer_id.removeprefix("ans_")]
        assert (status == "COMPLETED", text or "") == (is_whole(follower), follower.place.text)


async def test_with_redis_gone_for_good_what_is_written_is_stored_and_its_followers_get_it(
    slow: Settings, start_api: StartApi, reader: Person, http: aiohttp.ClientSession, cache: EmbeddedRedis
) -> None:
    writing, other = await start_api(), await start_api()
    answer = await ask(http, writing.url, reader)
    followers = [Follower(http, [url], reader.token, answer) for url in (writing.url, other.url) for _ in TRANSPORTS]
    async with asyncio.TaskGroup() as group:
        for number, follower in enumerate(followers):
            group.create_task(follower.follow([TRANSPORTS[number % 3]]))
        await spoken(*followers)
        await asyncio.to_thread(cache.stop, at_once)
    assert all(is_whole(follower) for follower in followers)
    (text,) = {follower.place.text for follower in followers}
    assert await as_owner(slow, "SELECT text FROM messages WHERE answer_id IS NOT NULL") == [(text,)]
    late = Follower(http, [other.url], reader.token, answer)
    await late.follow(["sse"])
    assert (is_whole(late), late.place.text) == (True, text)
