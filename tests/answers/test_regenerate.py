"""Several answers to one question: asking for another, which one is selected, and what later turns know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from conversing import (
    ANSWER,
    REGENERATE,
    SELECT,
    asked,
    calls,
    followed,
    hold,
    kinds,
    regenerated,
    result_of,
    stop,
    text_of,
    whole,
)
from grpc import StatusCode

from core.settings import Settings
from datastores.answer_turns import claim
from datastores.answers import answer_by_id
from datastores.regeneration import regenerate
from owner import as_owner, uuid_of
from product import Person, Product, running_product
from wire import Fail, GeminiServer, Say, gemini, in_time

MESSAGES = """query($id: ID!) { node(id: $id) { ... on Conversation { messages { nodes {
  role text answer { id selected } answers { id selected status } } } } } }"""
FINISH = Say(finish="STOP", usage=(1, 1, 2))


@pytest.fixture
async def made(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[GeminiServer, Settings]]:
    async with gemini(settings, tmp_path, chat_provider="gemini") as both:
        yield both


def history(server: GeminiServer) -> list[str]:
    """What the model was shown of the conversation when it was asked last."""
    message = [one.message for one in server.asked if one.method == "StreamGenerateContent"][-1]
    return [turn.parts[0].text for turn in message.contents[:-1]]


async def selected(settings: Settings) -> list[bool]:
    """Of all answers, in the order in which they were asked for."""
    return [row[0] for row in await as_owner(settings, "SELECT selected FROM answers ORDER BY turn")]


async def answered(server: GeminiServer, person: Person, answer_id: str, text: str) -> str:
    """The id of another answer, which says this."""
    server.script = [Say(text), FINISH]
    answer = await regenerated(person, answer_id)
    assert (answer["status"], answer["selected"]) == ("PENDING", False)
    events = await followed(person, answer["id"])
    assert (kinds(events)[-1], text_of(events), whole(events)) == ("Completed", text, True)
    return answer["id"]  # type: ignore[no-any-return]


async def test_the_newest_complete_answer_is_selected_and_the_person_may_choose_another(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        conversation = await person.conversation()
        server.script = [Say("First."), FINISH]
        first = await asked(person, conversation, "When?")
        await followed(person, first)
        second = await answered(server, person, first, "Second.")
        assert await selected(settings) == [False, True]
        question, *replies = (await person.query(MESSAGES, id=conversation))["node"]["messages"]["nodes"]
        assert question["answer"] == {"id": second, "selected": True}
        assert [answer["id"] for answer in question["answers"]] == [first, second]
        assert [(reply["text"], reply["answer"]["selected"]) for reply in replies] == [
            ("First.", False),
            ("Second.", True),
        ]
        server.script = [Say("Then."), FINISH]
        await followed(person, await asked(person, conversation, "And then?"))
        assert history(server) == ["When?", "Second."]
        chosen = await result_of(person, SELECT, answerId=first)
        assert chosen == {"__typename": "SelectAnswerPayload", "answer": {"id": first, "selected": True}}
        assert await selected(settings) == [True, False, True]
        assert await result_of(person, SELECT, answerId=first) == chosen
        await followed(person, await asked(person, conversation, "And last?"))
        assert history(server) == ["When?", "First.", "And then?", "Then."]
        # Another answer to an earlier question knows what went before that one, and no more.
        await answered(server, person, second, "Third.")
        assert history(server) == []
        assert await selected(settings) == [False, False, True, True, True]


async def test_an_answer_without_text_or_unfinished_cannot_be_selected_nor_a_running_one_asked_for_again(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        conversation = await person.conversation()
        server.script = list(ANSWER)
        first = await asked(person, conversation)
        await followed(person, first)
        server.script = [Fail(StatusCode.RESOURCE_EXHAUSTED)]
        failed = (await regenerated(person, first))["id"]
        assert kinds(await followed(person, failed))[-1] == "Failed"
        assert await selected(settings) == [True, False]
        assert (await result_of(person, SELECT, answerId=failed))["code"] == "CONFLICT"
        hold(server, ANSWER[0])
        running = (await regenerated(person, failed))["id"]
        await in_time(server.arrived.wait())
        before = await as_owner(settings, "SELECT * FROM answers ORDER BY id")
        for mutation, answer_id in ((SELECT, running), (REGENERATE, running), (REGENERATE, first)):
            assert (await result_of(person, mutation, answerId=answer_id))["code"] == "CONFLICT", mutation
        assert await as_owner(settings, "SELECT * FROM answers ORDER BY id") == before
        # What was stopped may be chosen, and does not choose itself.
        await stop(person, running)
        assert await selected(settings) == [True, False, False]
        assert (await result_of(person, SELECT, answerId=running))["answer"] == {"id": running, "selected": True}


class _RolledBackError(Exception):
    """Nobody is to write the answer."""


async def test_another_answer_is_known_as_one_whatever_the_clocks_of_those_who_stored_the_two(product: Product) -> None:
    person = await product.sign_up()
    first = (await person.ask("When?"))[-1]["answer"]["id"]
    with suppress(_RolledBackError):
        async with product.services.postgres.write(person.tenant_id) as tx:
            earlier = await answer_by_id(tx, uuid_of(first))
            assert earlier is not None
            # By a clock that is far behind: its id sorts before every other.
            again = UUID("00000000-0000-7000-8000-000000000000")
            person_id = uuid_of(person.user_id)
            await regenerate(tx, earlier, answer_id=again, person_id=person_id, idempotency_key=None)
            claimed = await claim(tx, again, 0, person_id)
            assert claimed is not None
            assert claimed.regenerated
            raise _RolledBackError


async def test_words_that_were_stopped_are_better_than_none(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        server.script = [Fail(StatusCode.RESOURCE_EXHAUSTED)]
        first = await asked(person, await person.conversation())
        assert kinds(await followed(person, first))[-1] == "Failed"
        hold(server, ANSWER[0])
        second = (await regenerated(person, first))["id"]
        async for event in person.follow(second):
            if event["__typename"] == "AnswerDelta":
                await stop(person, second)
        assert await selected(settings) == [False, True]


@pytest.mark.long
async def test_another_answer_waits_for_the_questions_before_it_and_for_a_slot(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    limited = settings.model_copy(update={"rate_limit_concurrent_answers": 2})
    async with running_product(limited, worker=False) as product:
        person = await product.sign_up()
        conversation = await person.conversation()
        server.script = list(ANSWER)
        first = await asked(person, conversation)
        await followed(person, first)
        wait = hold(server, ANSWER[0])
        second = await asked(person, conversation, "And the second?")
        await in_time(server.arrived.wait())
        again = (await regenerated(person, first, idempotencyKey="k"))["id"]
        seen: list[dict[str, Any]] = []
        async for event in person.follow(again):
            seen.append(event)
            if len(seen) == 1:
                assert event["step"] == "QUEUED"
                wait.event.set()
        assert kinds(seen)[:2] == ["QUEUED", "Started"]
        assert (kinds(seen)[-1], whole(seen)) == ("Completed", True)
        assert kinds(await followed(person, second))[-1] == "Completed"
        assert calls(server) == 3
        # With no slot left it is refused, and nothing stored.
        await product.services.slots.renew(person.tenant_id, uuid_of(first))
        await product.services.slots.renew(person.tenant_id, uuid_of(second))
        before = await selected(settings)
        assert (await result_of(person, REGENERATE, answerId=first))["code"] == "RATE_LIMITED"
        assert await selected(settings) == before
        assert (await regenerated(person, first, idempotencyKey="k"))["id"] == again


async def test_of_several_who_ask_for_another_answer_at_once_one_gets_it(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        server.script = list(ANSWER)
        first = await asked(person, await person.conversation())
        await followed(person, first)
        wait = hold(server, ANSWER[0])
        results = await asyncio.gather(*(result_of(person, REGENERATE, answerId=first) for _ in range(10)))
        assert sorted(result["__typename"] for result in results) == ["Conflict"] * 9 + ["RegenerateAnswerPayload"]
        wait.event.set()
        assert len(await selected(settings)) == 2


async def test_two_mutations_of_one_operation_see_what_the_first_has_done(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        server.script = list(ANSWER)
        first = await asked(person, await person.conversation())
        await followed(person, first)
        second = await answered(server, person, first, "Second.")
        chosen = "... on SelectAnswerPayload { answer { question { answers { id selected } } } }"
        both = await person.query(
            f"""mutation($first: ID!, $second: ID!) {{
            one: selectAnswer(input: {{answerId: $first}}) {{ {chosen} }}
            two: selectAnswer(input: {{answerId: $second}}) {{ {chosen} }} }}""",
            first=first,
            second=second,
        )
        found = [
            [answer["selected"] for answer in both[name]["answer"]["question"]["answers"]] for name in ("one", "two")
        ]
        assert found == [[True, False], [False, True]]


@pytest.mark.long
async def test_choosing_and_finishing_at_once_leave_one_selected(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        server.script = list(ANSWER)
        first = await asked(person, await person.conversation())
        await followed(person, first)
        second = await answered(server, person, first, "Second.")
        for _ in range(4):
            answer = await regenerated(person, first)
            choosing = [result_of(person, SELECT, answerId=one) for one in (first, second) * 3]
            events, *chosen = await asyncio.gather(followed(person, answer["id"]), *choosing)
            assert kinds(events)[-1] == "Completed"
            assert {result["__typename"] for result in chosen} == {"SelectAnswerPayload"}
            assert sum(await selected(settings)) == 1
