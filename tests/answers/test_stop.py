"""Stopping an answer: from any process, also when Redis is away or whoever wrote it is dead."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conversing import (
    ANSWER,
    CITED,
    DOCUMENT,
    TEXT,
    asked,
    calls,
    followed,
    hold,
    kinds,
    status,
    stop,
    text_has_come,
    text_of,
    whole,
)
from grpc import StatusCode

from core.settings import Settings
from owner import as_owner, until, uuid_of
from product import Person, Product, running_product
from wire import Fail, GeminiServer, Until, gemini, in_time, relayed

sys.path.append(str(Path(__file__).parents[1] / "attacks"))
from api_process import ApiProcess

pytestmark = pytest.mark.timeout(60)  # several products, and some seconds that the product itself allows
TERMINAL = {"COMPLETED": "AnswerCompleted", "STOPPED": "AnswerStopped"}


@pytest.fixture
async def made(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[GeminiServer, Settings]]:
    async with gemini(settings, tmp_path, chat_provider="gemini") as both:
        yield both


def elsewhere(person: Person, product: Product) -> Person:
    """The same person at another process's door."""
    return replace(person, product=product)


async def watched(person: Person, answer_id: str, words: asyncio.Event) -> list[dict[str, Any]]:
    """All events to the answer's end; says when there is text."""
    events = []
    async for event in person.follow(answer_id):
        events.append(event)
        if event["__typename"] == "AnswerDelta":
            words.set()
    return events


async def attempts(settings: Settings, answer_id: str) -> list[tuple[Any, ...]]:
    """How the answer's attempts ended, and whether their time is known."""
    return await as_owner(
        settings,
        "SELECT finish_reason, total_ms IS NOT NULL FROM answer_attempts WHERE answer_id = $1 ORDER BY epoch",
        uuid_of(answer_id),
    )


@pytest.mark.long
async def test_from_another_process_the_call_ends_at_once_and_what_was_said_is_kept(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    async with (
        running_product(settings) as one,
        running_product(settings, worker=False, flush=False) as two,
    ):
        person = await one.sign_up()
        await person.ready_document(DOCUMENT)
        other, took = elsewhere(person, two), []
        while not took or (min(took) >= 0.1 and len(took) < 10):
            hold(server, CITED)
            answer_id = await asked(person, await person.conversation())
            words = [asyncio.Event(), asyncio.Event()]
            following = [
                asyncio.create_task(watched(viewer, answer_id, seen))
                for viewer, seen in zip((person, other), words, strict=True)
            ]
            await asyncio.gather(*(seen.wait() for seen in words))
            began = time.monotonic()
            stopping = asyncio.create_task(stop(other, answer_id))
            await in_time(server.cancelled.wait())
            took.append(time.monotonic() - began)
            answer = await stopping
            assert (answer["status"], answer["finishedAt"] is not None) == ("STOPPED", True)
            assert answer["message"]["text"] == "At half past seven [1], as"
            assert [citation["marker"] for citation in answer["citations"]] == [1]
            assert answer["usage"]["inputTokens"] > answer["usage"]["outputTokens"] > 0
            for events in await asyncio.gather(*following):
                assert kinds(events)[-1] == "Stopped"
                assert text_of(events) == answer["message"]["text"]
                assert whole(events)
            assert await attempts(settings, answer_id) == [("STOPPED", True)]
        # The machine is shared: the quickest of ten shows what stopping itself takes.
        assert min(took) < 0.1, took
        await two.services.redis.flushdb()
        again = await followed(other, answer_id)
    assert kinds(again) == ["Restarted", "Citation", "Delta", "Stopped"]


async def test_before_the_first_word_there_is_no_message_and_a_question_after_it_goes_on(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        conversation = await person.conversation()
        hold(server)
        first, second = await asked(person, conversation), await asked(person, conversation)
        await in_time(server.arrived.wait())
        server.script = list(ANSWER)
        answer = await stop(person, first)
        assert (answer["status"], answer["message"], answer["usage"]["outputTokens"]) == ("STOPPED", None, 0)
        # The model had read the prompt, and would have said how long it was with its last word only.
        assert answer["usage"]["inputTokens"] > 0
        assert text_of(await followed(person, second)) == TEXT
        assert calls(server) == 2


async def test_while_a_model_that_refused_is_not_yet_asked_again_nothing_has_been_used(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        server.script = [Fail(StatusCode.UNAVAILABLE, retry_after=5)]
        answer_id = await asked(person, await person.conversation())
        async for event in person.follow(answer_id):
            if event.get("step") == "RETRYING":
                break
        answer = await stop(person, answer_id)
        assert (answer["status"], answer["message"], answer["usage"]) == ("STOPPED", None, None)


async def test_an_answer_that_waits_ends_without_a_call(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        conversation = await person.conversation()
        wait = hold(server, ANSWER[0])
        first, second, third = [await asked(person, conversation) for _ in range(3)]
        await text_has_come(person, first)
        seen: list[dict[str, Any]] = []
        async for event in person.follow(second):
            seen.append(event)
            if len(seen) == 1:
                assert (await stop(person, second))["status"] == "STOPPED"
        assert kinds(seen) == ["QUEUED", "Stopped"]
        assert whole(seen)
        assert kinds(await followed(person, second)) == ["QUEUED", "Stopped"]
        assert kinds(await followed(person, second, seen[0]["cursor"])) == ["Stopped"]
        wait.event.set()
        assert [text_of(await followed(person, one)) for one in (first, third)] == [TEXT, TEXT]
        assert calls(server) == 2
        assert await attempts(settings, second) == []
        await product.services.redis.flushdb()
        assert kinds(await followed(person, second)) == ["Restarted", "Stopped"]


async def test_stopping_what_has_ended_changes_nothing(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        conversation = await person.conversation()
        server.script = list(ANSWER)
        completed = await asked(person, conversation)
        await followed(person, completed)
        hold(server, ANSWER[0])
        stopped = await asked(person, conversation)
        await text_has_come(person, stopped)
        await stop(person, stopped)
        rows = "SELECT id, status, version, stop_requested_at, finished_at FROM answers ORDER BY id"
        before = await as_owner(settings, rows)
        assert [(await stop(person, one))["status"] for one in (completed, stopped)] == ["COMPLETED", "STOPPED"]
        assert await as_owner(settings, rows) == before


@pytest.mark.long
async def test_stop_and_finish_at_the_same_moment_give_one_end(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    ends = []
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        conversation = await person.conversation()
        for number in range(12):
            wait = hold(server, *ANSWER[:2])
            answer_id = await asked(person, conversation)
            await text_has_come(person, answer_id)
            following = asyncio.create_task(followed(person, answer_id))
            stopping = [asyncio.create_task(stop(person, answer_id)) for _ in range(2)]
            # From a moment before the stop is stored to one after it.
            await asyncio.sleep(number * 0.001)
            wait.event.set()
            events, *answers = await asyncio.gather(following, *stopping)
            assert whole(events)
            stored = await status(settings, answer_id)
            assert [answer["status"] for answer in answers] == [stored] * 2
            assert (events[-1]["__typename"], text_of(events)) == (TERMINAL[stored], TEXT)
            ends.append(stored)
            assert len(await attempts(settings, answer_id)) == 1
    assert set(ends) <= set(TERMINAL)


async def test_without_redis_the_producer_finds_the_request_in_the_database(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    assert settings.redis_url is not None
    async with (
        relayed(settings.redis_url) as (url, relay),
        running_product(settings.model_copy(update={"redis_url": url}), worker=False) as product,
    ):
        person = await product.sign_up()
        hold(server, ANSWER[0])
        answer_id = await asked(person, await person.conversation())
        await text_has_come(person, answer_id)
        await relay.close()
        began = time.monotonic()
        await stop(person, answer_id)
        await in_time(server.cancelled.wait())
        # Two seconds between the producer's looks, and what Redis is given to answer.
        assert time.monotonic() - began < 6

        async def stopped() -> bool:
            return await status(settings, answer_id) == "STOPPED"

        await until(stopped)
        await relay.listen_again()
        events = await followed(person, answer_id)
        assert (kinds(events)[-1], text_of(events)) == ("Stopped", "At half past")


@pytest.mark.long
async def test_a_word_that_was_on_its_way_to_the_log_is_not_lost_between_text_and_followers(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        wait = hold(server, ANSWER[0])
        server.script = [ANSWER[0], wait, ANSWER[1], Until()]
        answer_id = await asked(person, await person.conversation())
        await text_has_come(person, answer_id)
        following = asyncio.create_task(followed(person, answer_id))
        ((_, attempt),) = product.services.supervisor._attempts.values()
        await product.services.redis.client_pause(700)
        wait.event.set()

        async def fed() -> bool:
            return attempt._filter.text == TEXT

        await until(fed)
        product.services.supervisor.stop(uuid_of(answer_id))
        events = await following
        assert (kinds(events)[-1], text_of(events), whole(events)) == ("Stopped", TEXT, True)
        assert (await stop(person, answer_id))["message"]["text"] == TEXT


@pytest.mark.long
async def test_when_its_producer_was_killed_another_process_ends_it_with_what_the_log_has(
    made: tuple[GeminiServer, Settings], tmp_path: Path
) -> None:
    server, settings = made
    async with running_product(settings) as product:
        person = await product.sign_up()
        await person.ready_document(DOCUMENT)
        conversation = await person.conversation()
        producer = await ApiProcess.start(_of_its_own(settings), tmp_path / "api.log")
        try:
            hold(server, CITED)
            answer_id = await asked(elsewhere(person, replace(product, url=producer.url)), conversation)
            await text_has_come(person, answer_id)
        finally:
            producer.stop()  # with SIGKILL
        asked_before = calls(server)
        following = asyncio.create_task(followed(person, answer_id))
        assert (await stop(person, answer_id))["status"] == "STREAMING"
        events = await asyncio.wait_for(following, 20)
        assert kinds(events)[-1] == "Stopped"
        assert text_of(events) == "At half past seven [1], as"
        assert whole(events)
        answer = await stop(person, answer_id)
        assert (answer["message"]["text"], len(answer["citations"])) == (text_of(events), 1)
        assert answer["usage"]["inputTokens"] > answer["usage"]["outputTokens"] > 0
        # By which what it has cost is known.
        assert await as_owner(settings, "SELECT DISTINCT model FROM answer_attempts") == [("gemini-2.5-flash",)]
        assert calls(server) == asked_before


@pytest.mark.long
async def test_a_stop_while_the_attempt_is_being_begun_is_not_lost(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person, supervisor = await product.sign_up(), product.services.supervisor
        conversation = await person.conversation()
        hold(server)
        first, second = await asked(person, conversation), await asked(person, conversation)
        await in_time(server.arrived.wait())
        assert kinds([await anext(person.follow(second))]) == ["QUEUED"]
        await as_owner(settings, "UPDATE answers SET status = 'FAILED' WHERE id = $1", uuid_of(first))
        supervisor.produce(person.tenant_id, uuid_of(second))
        supervisor.stop(uuid_of(second))
        assert kinds(await followed(person, second))[-1] == "Stopped"
        assert calls(server) == 1


def _of_its_own(settings: Settings) -> Settings:
    """The same for another process, which is told what is not as usual: with a port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return Settings.model_validate(settings.model_dump(exclude_defaults=True) | {"port": port})
