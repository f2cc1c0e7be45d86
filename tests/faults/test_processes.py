"""API processes that are killed, frozen, ended and replaced, while answers are written and followed."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import aiohttp
import pytest
from asking import StartApi, ask
from follower import TRANSPORTS, Follower, spoken

from core.settings import Settings
from owner import as_owner, uuid_of
from product import Person

pytestmark = [pytest.mark.long, pytest.mark.timeout(90)]
TAKEOVER_SECONDS = 10.0
"""Of design section 4.6: the lease's six, two sweeps, and the time to begin."""
BUSY = 3
"""The machine may be slower than its clock: what is bounded in seconds has so many times as long."""


async def test_three_transports_show_the_whole_answer_though_its_process_is_killed(
    slow: Settings, start_api: StartApi, reader: Person, http: aiohttp.ClientSession
) -> None:
    writing, other = await start_api(), await start_api()
    answer = await ask(http, writing.url, reader)
    followers = [Follower(http, [other.url], reader.token, answer) for _ in TRANSPORTS]
    async with asyncio.TaskGroup() as group:
        for follower, transport in zip(followers, TRANSPORTS, strict=True):
            group.create_task(follower.follow([transport]))
        await spoken(*followers)
        writing.send(signal.SIGKILL)
        killed = time.monotonic()
        while not all(follower.restarts for follower in followers):  # noqa: ASYNC110 - of other tasks
            await asyncio.sleep(0.05)
        assert time.monotonic() - killed < BUSY * TAKEOVER_SECONDS
    for follower in followers:
        assert follower.terminal is not None
        assert (follower.terminal["__typename"], follower.restarts) == ("AnswerCompleted", 1)
        assert "1936" in follower.place.text
    assert len({follower.place.text for follower in followers}) == 1
    assert await as_owner(slow, "SELECT epoch FROM answers") == [(2,)]


async def test_a_process_that_froze_and_wakes_can_write_nothing(
    slow: Settings, start_api: StartApi, reader: Person, http: aiohttp.ClientSession
) -> None:
    writing, other = await start_api(), await start_api()
    answer = await ask(http, writing.url, reader)
    follower = Follower(http, [other.url], reader.token, answer)
    following = asyncio.create_task(follower.follow(["websocket"]))
    await spoken(follower)
    writing.send(signal.SIGSTOP)
    try:
        async with asyncio.timeout(BUSY * TAKEOVER_SECONDS):
            while not follower.restarts:  # noqa: ASYNC110 - of another task
                await asyncio.sleep(0.05)
    finally:
        writing.send(signal.SIGCONT)
    await following
    assert follower.terminal is not None
    assert follower.terminal["__typename"] == "AnswerCompleted"
    assert follower.restarts == 1
    # The one that woke has found out by now that the answer is not its own, and has written no row.
    said = ""
    async with asyncio.timeout(20):
        while "answer taken over" not in (said := said + writing.said()):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    rows = await as_owner(slow, "SELECT epoch, status::text FROM answers")
    assert rows == [(2, "COMPLETED")]
    late = Follower(http, [writing.url], reader.token, answer)
    await late.follow(["sse"])
    assert late.place.text == follower.place.text


async def test_a_question_that_was_pending_when_everything_died_is_answered_after_the_start(
    slow: Settings, start_api: StartApi, reader: Person, http: aiohttp.ClientSession
) -> None:
    first = await start_api()
    answer = await ask(http, first.url, reader)
    first.send(signal.SIGKILL)
    await first.ended(10)
    # As if it had died between the transaction and the first step.
    await as_owner(slow, "UPDATE answers SET status = 'PENDING', epoch = 0 WHERE id = $1", uuid_of(answer))
    second = await start_api()
    follower = Follower(http, [second.url], reader.token, answer)
    async with asyncio.timeout(BUSY * TAKEOVER_SECONDS):
        await follower.follow()
    assert follower.terminal is not None
    assert follower.terminal["__typename"] == "AnswerCompleted"


@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["one", "two"])
async def test_an_end_on_sigterm_hands_over_what_is_written_and_closes_every_connection(
    start_api: StartApi, reader: Person, http: aiohttp.ClientSession, processes: tuple[str, ...]
) -> None:
    ending = await start_api(*processes)
    answer = await ask(http, ending.url, reader)
    followers = [Follower(http, [ending.url], reader.token, answer) for _ in TRANSPORTS]
    following = [
        asyncio.create_task(follower.follow([transport]))
        for follower, transport in zip(followers, TRANSPORTS, strict=True)
    ]
    await spoken(*followers)
    async with http.ws_connect(f"{ending.url}/graphql", protocols=("graphql-transport-ws",)) as idle:
        ending.send(signal.SIGTERM)
        ended = asyncio.create_task(ending.ended(BUSY * 15))
        assert (await idle.receive()).type is aiohttp.WSMsgType.CLOSE
        assert idle.close_code == 1012
    assert await ended == (0 if processes else -signal.SIGTERM)
    other = await start_api()
    for follower in followers:
        follower.urls = [other.url]
    await asyncio.wait_for(asyncio.gather(*following), BUSY * TAKEOVER_SECONDS)
    assert {follower.terminal and follower.terminal["__typename"] for follower in followers} == {"AnswerCompleted"}


async def test_processes_are_replaced_one_after_another_without_a_refused_request(
    start_api: StartApi, reader: Person, http: aiohttp.ClientSession
) -> None:
    api = await start_api("--processes", "2")
    before = {process.pid for process in api.serving}
    assert len(before) == 2
    answers = [await ask(http, api.url, reader) for _ in range(3)]
    followers = [Follower(http, [api.url], reader.token, answer) for answer in answers for _ in TRANSPORTS]
    refused: list[object] = []
    done = asyncio.Event()

    async def keep_asking() -> None:
        while not done.is_set():
            try:
                async with http.get(f"{api.url}/healthz") as response:
                    if response.status != 200:
                        refused.append(response.status)
            except aiohttp.ClientConnectorError as error:
                refused.append(error)
            except aiohttp.ClientError:
                pass  # cut in the middle, as any request of a process that ends may be
            await asyncio.sleep(0.02)

    async def replaced() -> bool:
        now = {process.pid for process in api.serving}
        return len(now) == 2 and not now & before

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(keep_asking())
        for number, follower in enumerate(followers):
            group.create_task(follower.follow([TRANSPORTS[number % 3]]))
        await spoken(*followers)
        api.send(signal.SIGHUP)
        async with asyncio.timeout(60):
            while not await replaced():  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.1)
        done.set()
        await asking
    assert refused == []
    assert {follower.terminal and follower.terminal["__typename"] for follower in followers} == {"AnswerCompleted"}


async def test_a_process_that_is_killed_is_replaced_and_all_end_with_the_one_that_started_them(
    start_api: StartApi, reader: Person, http: aiohttp.ClientSession
) -> None:
    api = await start_api("--processes", "2")
    first = api.serving
    answer = await ask(http, api.url, reader)
    follower = Follower(http, [api.url], reader.token, answer)
    following = asyncio.create_task(follower.follow())
    await spoken(follower)
    os.kill(first[0].pid, signal.SIGKILL)
    async with asyncio.timeout(40):
        while len({process.pid for process in api.serving} - {first[0].pid}) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await asyncio.wait_for(following, BUSY * TAKEOVER_SECONDS)
    left = api.serving
    api.send(signal.SIGKILL)
    async with asyncio.timeout(BUSY * 15):
        while any(process.is_running() and process.status() != "zombie" for process in left):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
