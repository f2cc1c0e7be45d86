"""While Redis hangs: it takes what it is sent and answers nothing. Two processes' worth of product, one model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from conversing import ANSWER, TEXT, asked, followed, hold, kinds, status, stop, text_of, whole

from app.embedded.redis import EmbeddedRedis
from core.settings import Settings
from datastores.answer_events import Completed, Delta, Restarted
from own_servers import frozen, own_redis
from owner import until, uuid_of
from product import running_product
from wire import GeminiServer, gemini, in_time

pytestmark = [pytest.mark.long, pytest.mark.timeout(60)]
ASKED_SECONDS = 3.0
STOPPED_SECONDS = 3.0
BUSY = 2
"""The machine may be slower than its clock."""


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    async with own_redis(tmp_path) as server:
        yield server


@pytest.fixture
async def made(
    settings: Settings, redis: EmbeddedRedis, tmp_path: Path
) -> AsyncIterator[tuple[GeminiServer, Settings]]:
    own = settings.model_copy(update={"redis_url": redis.url})
    async with gemini(own, tmp_path, chat_provider="gemini") as both:
        yield both


async def test_a_question_is_answered_and_a_stop_from_another_process_is_heard(
    made: tuple[GeminiServer, Settings], redis: EmbeddedRedis
) -> None:
    server, settings = made
    async with (
        running_product(settings, worker=False) as writing,
        running_product(settings, worker=False, flush=False) as other,
    ):
        person = await writing.sign_up()
        elsewhere = replace(person, product=other)
        conversation = await person.conversation()
        hold(server, ANSWER[0])
        with frozen(redis):
            began = time.monotonic()
            answer_id = await asked(person, conversation)
            await in_time(server.arrived.wait())
            took = time.monotonic() - began
            assert took < BUSY * ASKED_SECONDS
            began = time.monotonic()
            await stop(elsewhere, answer_id)
            await in_time(server.cancelled.wait())
            assert time.monotonic() - began < BUSY * STOPPED_SECONDS

            async def stopped() -> bool:
                return await status(settings, answer_id) == "STOPPED"

            await until(stopped)
            assert time.monotonic() - began < BUSY * (STOPPED_SECONDS + 1)
            events = await followed(elsewhere, answer_id)
            assert (kinds(events)[-1], text_of(events), whole(events)) == ("Stopped", "At half past", True)
            # The next one in the conversation, which nobody had to find in Redis.
            server.script = [*ANSWER]
            second = await asked(elsewhere, conversation)
            events = await followed(person, second)
            assert (kinds(events)[-1], text_of(events), whole(events)) == ("Completed", TEXT, True)


async def test_what_was_given_up_waiting_for_and_is_done_all_the_same_leaves_no_word_twice(
    made: tuple[GeminiServer, Settings], redis: EmbeddedRedis
) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        wait = hold(server, ANSWER[0])
        answer_id = await asked(person, await person.conversation())
        key = (person.tenant_id, uuid_of(answer_id))

        async def said() -> bool:
            return any(isinstance(event, Delta) for event in await product.services.answer_log.said(*key))

        await until(said)
        ((_, attempt),) = product.services.supervisor._attempts.values()
        following = asyncio.create_task(followed(person, answer_id))
        before = attempt._writer._generation
        with frozen(redis):
            # Sent while it hangs: Redis has the text in its socket, and the producer goes on without it.
            wait.event.set()

            async def given_up() -> bool:
                return attempt._writer._generation is None

            await until(given_up)
            assert before is not None
            await until_stored(settings, answer_id)
        events = await following
        assert (kinds(events)[-1], text_of(events), whole(events)) == ("Completed", TEXT, True)
        log = await product.services.answer_log.read(*key, None, 0)
        assert log is not None
        # What it had been sent it has done, once: all of it is this answer's, in order.
        assert [event.sequence for event in log.events] == list(range(1, len(log.events) + 1))
        text = "".join(event.body.text for event in log.events if isinstance(event.body, Delta))
        assert TEXT.startswith(text)
        assert not isinstance(log.events[-1].body, Completed) or text == TEXT
        assert sum(isinstance(event.body, Restarted) for event in log.events) <= 1
        late = await followed(person, answer_id)
        assert (kinds(late)[-1], text_of(late), whole(late)) == ("Completed", TEXT, True)


async def test_few_of_those_who_ask_wait_for_it(made: tuple[GeminiServer, Settings], redis: EmbeddedRedis) -> None:
    _, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        with frozen(redis):
            began = time.monotonic()
            for _ in range(20):
                await person.query("{ viewer { user { id } } }")
            # Each of them has a rate and a session: with one wait for each of those it would take eight seconds.
            assert time.monotonic() - began < BUSY * 2


async def until_stored(settings: Settings, answer_id: str) -> None:
    async def stored() -> bool:
        return await status(settings, answer_id) == "COMPLETED"

    await until(stored)


async def test_a_process_has_no_more_connections_than_the_setting_says(
    made: tuple[GeminiServer, Settings], redis: EmbeddedRedis
) -> None:
    _, settings = made
    few = settings.model_copy(update={"redis_max_connections": 6})
    async with running_product(few, worker=False) as product:
        person = await product.sign_up()
        conversation = await person.conversation()
        await asyncio.gather(*(person.query("{ viewer { user { id } } }") for _ in range(60)))
        for _ in range(3):
            await followed(person, await asked(person, conversation))
        await asyncio.gather(*(person.query("{ viewer { user { id } } }") for _ in range(60)))
        assert len(await product.services.redis.client_list()) <= 6
