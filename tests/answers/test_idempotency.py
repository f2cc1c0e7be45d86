"""The same key many times at once, on two processes: one message, one answer, one call of the model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conversing import ANSWER, QUESTION, REGENERATE, asked, calls, followed, kinds, result_of

from core.settings import Settings
from owner import as_owner
from product import Person, running_product
from wire import GeminiServer, gemini

TIMES = 25
"""At each of two processes."""


@pytest.fixture
async def made(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[GeminiServer, Settings]]:
    async with gemini(settings, tmp_path, chat_provider="gemini") as both:
        yield both


@pytest.fixture
async def both(made: tuple[GeminiServer, Settings]) -> AsyncIterator[tuple[Person, Person]]:
    """One person at two processes of an organisation that may have four answers written at once.

    That is the one that is written, one for whoever sends it again at each process, and one for anybody else.
    """
    _, settings = made
    few = settings.model_copy(update={"rate_limit_concurrent_answers": 4})
    async with (
        running_product(few, worker=False) as one,
        running_product(few, worker=False, flush=False) as two,
    ):
        person = await one.sign_up()
        yield person, replace(person, product=two)


async def counted(settings: Settings) -> tuple[Any, ...]:
    """Questions, answers, attempts."""
    (row,) = await as_owner(
        settings,
        "SELECT (SELECT count(*) FROM messages WHERE role = 'USER'), (SELECT count(*) FROM answers), "
        "(SELECT count(*) FROM answer_attempts)",
    )
    return row


async def test_a_question_sent_fifty_times_is_asked_once(
    made: tuple[GeminiServer, Settings], both: tuple[Person, Person]
) -> None:
    server, settings = made
    server.script = list(ANSWER)
    conversation, another = await both[0].conversation(), await both[0].conversation()
    *sent, beside = await asyncio.gather(
        *(person.send(conversation, QUESTION, idempotencyKey="once") for person in both * TIMES),
        both[0].send(another, QUESTION),
    )
    assert beside["__typename"] == "SendMessagePayload"
    await followed(both[0], beside["answer"]["id"])
    assert {one["__typename"] for one in sent} == {"SendMessagePayload"}
    ((message, answer),) = {(one["message"]["id"], one["answer"]["id"]) for one in sent}
    assert message
    for person in both:
        assert kinds(await followed(person, answer))[-1] == "Completed"
        await person.product.services.supervisor.idle()
    assert await counted(settings) == (2, 2, 2)
    assert calls(server) == 2
    other = await both[1].send(conversation, "Something else?", idempotencyKey="once")
    assert other["code"] == "IDEMPOTENCY_CONFLICT"
    assert await counted(settings) == (2, 2, 2)


async def test_an_answer_asked_for_again_fifty_times_is_written_once(
    made: tuple[GeminiServer, Settings], both: tuple[Person, Person]
) -> None:
    server, settings = made
    server.script = list(ANSWER)
    conversation = await both[0].conversation()
    first, another = await asked(both[0], conversation), await asked(both[0], conversation)
    await followed(both[0], another)
    made_again = await asyncio.gather(
        *(result_of(person, REGENERATE, answerId=first, idempotencyKey="once") for person in both * TIMES)
    )
    assert {one["__typename"] for one in made_again} == {"RegenerateAnswerPayload"}
    ((answer, question),) = {(one["answer"]["id"], one["answer"]["question"]["id"]) for one in made_again}
    assert question
    for person in both:
        assert kinds(await followed(person, answer))[-1] == "Completed"
        await person.product.services.supervisor.idle()
    assert await counted(settings) == (2, 3, 3)
    assert calls(server) == 3
    other = await result_of(both[1], REGENERATE, answerId=another, idempotencyKey="once")
    assert other["code"] == "IDEMPOTENCY_CONFLICT"
    elsewhere = await asked(both[0], await both[0].conversation())
    await followed(both[0], elsewhere)
    other = await result_of(both[1], REGENERATE, answerId=elsewhere, idempotencyKey="once")
    assert other["code"] == "IDEMPOTENCY_CONFLICT"
    assert await counted(settings) == (3, 4, 4)
