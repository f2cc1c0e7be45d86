"""Random schedules of breaks, killed processes and lost servers, over the three transports at once: the law holds.

A schedule is one client with a seed of its own: which transports, where its connection is cut, where it goes on from,
how slowly it reads. They run in rounds, with the faults of their round. `COLLOQUY_ROUNDS` runs more of them.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from asking import TEXT, StartApi, ask
from follower import Follower

from api_process import ApiProcess
from app.embedded.processes import at_once
from app.embedded.redis import EmbeddedRedis
from core.settings import Settings
from datastores.redis_client import LOG_SECONDS, REQUEST_SECONDS, make_redis
from own_servers import own_redis
from product import running_product
from redis_faults import cut_live_channels

ROUNDS = int(os.environ.get("COLLOQUY_ROUNDS", "8"))
ANSWERS, CLIENTS = 5, 5
"""Answers of a round, and clients of an answer: eight rounds are 200 schedules."""
ROUND_SECONDS = 60.0
HANG_SECONDS = 1.5 * max(REQUEST_SECONDS, LOG_SECONDS)
pytestmark = [pytest.mark.long, pytest.mark.timeout(120 + 60 * ROUNDS)]
Fault = Callable[[], Awaitable[None]]


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    async with own_redis(tmp_path) as server:
        yield server


async def test_whatever_breaks_every_client_has_the_stored_message_in_the_end(
    slow: Settings, redis: EmbeddedRedis, start_api: StartApi, http: aiohttp.ClientSession
) -> None:
    settings = slow.model_copy(update={"redis_url": redis.url, "local_token_interval_ms": 20})
    async with running_product(settings) as product:
        reader = await product.sign_up()
        await reader.ready_document(TEXT)
        # The product in this process stays; two others come and go.
        others = [await start_api(settings=settings) for _ in range(2)]
        for number in range(ROUNDS):
            chance = random.Random(number)
            urls = [product.url, *(other.url for other in others)]
            answers = [await ask(http, chance.choice(urls), reader) for _ in range(ANSWERS)]
            followers = [Follower(http, urls, reader.token, answer) for answer in answers for _ in range(CLIENTS)]
            faults = asyncio.create_task(_break(settings, redis, others, start_api, chance))
            try:
                async with asyncio.timeout(ROUND_SECONDS), asyncio.TaskGroup() as group:
                    for each, follower in enumerate(followers):
                        schedule = random.Random(1_000 * number + each)
                        group.create_task(follower.follow(breaks=schedule))
            except TimeoutError:
                stuck = [(each.answer_id, each.place) for each in followers if each.terminal is None]
                raise AssertionError(f"round {number}: {len(stuck)} clients came to no end: {stuck[:3]}") from None
            others = await faults
            for answer in answers:
                texts = {follower.place.text for follower in followers if follower.answer_id == answer}
                assert len(texts) == 1, (number, texts)
            kinds = {follower.terminal["__typename"] for follower in followers if follower.terminal}
            assert kinds <= {"AnswerCompleted", "AnswerFailed"}, number


async def _break(
    settings: Settings, redis: EmbeddedRedis, others: list[ApiProcess], start_api: StartApi, chance: random.Random
) -> list[ApiProcess]:
    """Three faults of this round; the processes that run afterwards."""
    for _ in range(3):
        await asyncio.sleep(chance.random() / 2)
        fault = chance.choice(("kill", "freeze", "flush", "cut", "stall", "hang", "restart"))
        if fault == "kill":
            victim = chance.randrange(len(others))
            others[victim].send(signal.SIGKILL)
            await others[victim].ended(10)
            others[victim] = await start_api(settings=settings)
        elif fault == "freeze":
            victim = chance.randrange(len(others))
            others[victim].send(signal.SIGSTOP)
            await asyncio.sleep(1)
            others[victim].send(signal.SIGCONT)
        elif fault in ("stall", "hang"):
            # Shorter than anybody waits for it, and longer than everybody does.
            os.kill(redis.pid, signal.SIGSTOP)
            await asyncio.sleep(0.5 if fault == "stall" else HANG_SECONDS)
            os.kill(redis.pid, signal.SIGCONT)
        elif fault == "restart":
            await asyncio.to_thread(redis.stop, at_once)
            await asyncio.to_thread(redis.start)
        else:
            client = make_redis(settings)
            if fault == "flush":
                await client.flushdb()
            else:
                await cut_live_channels(client)
            await client.aclose()
    return others
