"""Questions that wait for one another in a conversation: which is answered first, and what the next one knows of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from core.ids import NodeKind, to_global
from core.settings import Settings
from owner import as_owner, uuid_of
from product import Person, running_product
from wire import GeminiServer, Say, Until, gemini, in_time

DOCUMENT = b"The ferry to Vexholm leaves from pier nine at half past seven.\n"
QUESTIONS = ["When does the first ferry leave?", "When does the second ferry leave?", "And the third ferry?"]


@pytest.fixture
async def made(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[GeminiServer, Settings]]:
    async with gemini(settings, tmp_path, chat_provider="gemini") as both:
        yield both


def prompts(server: GeminiServer) -> list[list[tuple[str, str]]]:
    """Who said what in each prompt, in the order in which the model was asked."""
    asked = [one.message for one in server.asked if one.method == "StreamGenerateContent"]
    return [[(turn.role, turn.parts[0].text) for turn in message.contents] for message in asked]


def asked_in_order(server: GeminiServer) -> list[str]:
    """The questions that reached the model."""
    return [turns[-1][1].rsplit("Question: ", 1)[1] for turns in prompts(server)]


async def sent(person: Person, conversation: str, questions: list[str]) -> list[str]:
    """Ids of the answers to questions that were sent without waiting for one of them."""
    return [(await person.send(conversation, text))["answer"]["id"] for text in questions]


async def finished(person: Person, answer_id: str) -> str:
    """The stored text of an answer that has to come to its good end."""
    last = [event async for event in person.follow(answer_id)][-1]
    assert last["__typename"] == "AnswerCompleted", last
    return last["answer"]["message"]["text"]  # type: ignore[no-any-return]


async def made_by_a_clock_that_is_ahead(settings: Settings, answer_id: str) -> str:
    """Give the answer an id that sorts after every other; the new id."""
    later = UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")
    await as_owner(settings, "UPDATE answers SET id = $1 WHERE id = $2", later, uuid_of(answer_id))
    return to_global(NodeKind.ANSWER, later)


async def test_a_question_sent_before_the_last_answer_had_finished_knows_that_answer(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    wait = Until()
    server.script = [Say("At half past seven."), wait, Say(finish="STOP", usage=(1, 1, 2))]
    async with running_product(settings) as product:
        person = await product.sign_up()
        await person.ready_document(DOCUMENT)
        conversation = await person.conversation()
        answers = await sent(person, conversation, QUESTIONS)
        await in_time(server.arrived.wait())
        wait.event.set()
        texts = [await finished(person, answer_id) for answer_id in answers]
    assert texts == ["At half past seven."] * 3
    assert asked_in_order(server) == QUESTIONS
    first, second, _ = QUESTIONS
    assert prompts(server)[1][:-1] == [("user", first), ("model", texts[0])]
    assert prompts(server)[2][:-1] == [("user", first), ("model", texts[0]), ("user", second), ("model", texts[1])]


async def test_questions_are_answered_in_their_order_whatever_the_clocks_of_those_who_stored_them(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    wait = Until()
    server.script = [Say("At half past seven."), wait, Say(finish="STOP", usage=(1, 1, 2))]
    async with running_product(settings) as product:
        person = await product.sign_up()
        await person.ready_document(DOCUMENT)
        answers = await sent(person, await person.conversation(), QUESTIONS)
        await in_time(server.arrived.wait())
        answers[1] = await made_by_a_clock_that_is_ahead(settings, answers[1])
        wait.event.set()
        for answer_id in answers:
            await finished(person, answer_id)
    assert asked_in_order(server) == QUESTIONS


@pytest.mark.long
@pytest.mark.timeout(60)
async def test_forgotten_questions_are_found_and_answered_in_their_order(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    server.script = [Until()]
    async with running_product(settings) as product:
        person = await product.sign_up()
        await person.ready_document(DOCUMENT)
        answers = await sent(person, await person.conversation(), QUESTIONS)
        await in_time(server.arrived.wait())
    # What was being answered has ended; nobody has begun the other two.
    await as_owner(settings, "UPDATE answers SET status = 'FAILED' WHERE epoch = 1")
    answers[1] = await made_by_a_clock_that_is_ahead(settings, answers[1])
    server.asked.clear()
    server.script = [Say("At half past seven."), Say(finish="STOP", usage=(1, 1, 2))]
    async with running_product(settings, flush=False) as product:
        person = Person(product, person.token, person.email, person.user_id)
        for answer_id in answers[1:]:
            await finished(person, answer_id)
    assert asked_in_order(server) == QUESTIONS[1:]
