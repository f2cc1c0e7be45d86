"""Answers by Anthropic through the whole product: usage, tries, the fallback, and failures that end an answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conversing import attempts, retries, text_of

from anthropic_server import (
    AnthropicServer,
    Begin,
    Block,
    Cut,
    Data,
    End,
    Fail,
    Page,
    Ping,
    Refuse,
    Say,
    Step,
    Stop,
    Think,
    Until,
)
from core.settings import Settings
from owner import as_owner
from product import Person, Product, running_product
from wire import anthropic, in_time

VEXHOLM = b"The capital of Norlandia is Vexholm. It was founded in 1432 by Queen Astrid.\n"
QUESTION = "When was Vexholm founded?"
ANSWER: list[Step] = [
    *(Begin(120), Block(), Ping(), Say("In 14"), Say("32 ["), Say("1]."), Stop("end_turn", 14), End()),
]
OVERLOADED = Refuse(529, {"type": "overloaded_error", "message": "Overloaded"})


@pytest.fixture(scope="module")
async def made(lasting: Settings) -> AsyncIterator[tuple[AnthropicServer, Settings]]:
    async with anthropic(lasting, provider_timeout=1.0, fallback_chat_provider="local") as both:
        yield both


@pytest.fixture(scope="module")
async def own(made: tuple[AnthropicServer, Settings]) -> AsyncIterator[Product]:
    """One product with that server, and the local answerer behind it."""
    async with running_product(made[1]) as running:
        yield running


@pytest.fixture
def server(made: tuple[AnthropicServer, Settings]) -> AnthropicServer:
    """The vendor, as new."""
    made[0].renew()
    made[0].script, made[0].counted = list(ANSWER), []
    return made[0]


@pytest.fixture
async def person(own: Product, server: AnthropicServer) -> Person:
    return await own.sign_up(f"anthropic{time.monotonic_ns()}@example.test")


async def tokens(person: Person) -> tuple[Any, ...]:
    """What the tenant's one attempt read and wrote."""
    statement = "SELECT input_tokens, output_tokens FROM answer_attempts WHERE tenant_id = $1"
    (row,) = await as_owner(person.product.settings, statement, person.tenant_id)
    return row


async def test_an_answer_streams_with_its_citation_and_its_usage(person: Person, server: AnthropicServer) -> None:
    await person.ready_document(VEXHOLM)
    events = await in_time(person.ask(QUESTION))
    assert text_of(events) == "In 1432 [1]."
    assert "1432" in next(e["citation"]["quote"] for e in events if e["__typename"] == "AnswerCitation")
    assert await attempts(person) == [(1, "anthropic", "claude-sonnet-4-6", None, "COMPLETE")]
    assert await tokens(person) == (120, 14)
    body = server.asked[0].body
    assert "answer" in body["system"].lower()
    assert "It was founded in 1432" in body["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        ([OVERLOADED], "The model cannot be reached. Trying again"),
        ([Begin(), Ping(), Fail("overloaded_error")], "The model cannot be reached. Trying again"),
        ([Refuse(429, headers={"Retry-After": "0.01"})], "The model is busy. Trying again"),
        ([Cut()], "The model cannot be reached. Trying again"),
        ([Begin(), Data("{not json")], "The model gave no usable answer. Trying again"),
        ([Page("<p>", "text/html")], "The model gave no usable answer. Trying again"),
        ([Until()], "The model did not answer in time. Trying again"),
        ([Begin(), Ping(), Until()], "The model did not answer in time. Trying again"),
    ],
    ids=["529", "error event", "429", "cut", "rubbish", "a page", "hangs before its head", "hangs after a ping"],
)
async def test_a_failure_before_the_first_word_is_tried_again_and_told(
    person: Person, server: AnthropicServer, failing: list[Step], reason: str
) -> None:
    server.scripts = [list(failing), list(failing)]
    events = await in_time(person.ask(QUESTION))
    assert retries(events) == [f"{reason} (try 2 of 3).", f"{reason} (try 3 of 3)."]
    assert events[-1]["__typename"] == "AnswerCompleted"
    assert await attempts(person) == [(1, "anthropic", "claude-sonnet-4-6", None, "COMPLETE")]


@pytest.mark.parametrize(
    ("script", "asked"),
    [([OVERLOADED], 3), ([Refuse(401)], 1), ([Refuse(429, headers={"Retry-After": "100"})], 1)],
    ids=["overloaded", "key", "a long wait"],
)
async def test_what_does_not_get_better_is_taken_to_the_fallback(
    person: Person, server: AnthropicServer, script: list[Step], asked: int
) -> None:
    await person.ready_document(VEXHOLM)
    server.script = script
    events = await in_time(person.ask(QUESTION))
    assert events[-1]["__typename"] == "AnswerCompleted"
    assert "1432" in text_of(events)
    assert len(server.asked) == asked
    assert [row[1] for row in await attempts(person)] == ["anthropic", "local"]


BEGUN: list[Step] = [Begin(), Block(), Say("In 14")]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ([Begin(), Stop("refusal", 0), End()], "CONTENT_FILTERED"),
        ([*BEGUN, Stop("refusal"), End()], "CONTENT_FILTERED"),
        ([*BEGUN, Fail("overloaded_error")], "PROVIDER_UNAVAILABLE"),
        ([*BEGUN, Cut()], "PROVIDER_UNAVAILABLE"),
        ([*BEGUN, Until()], "TIMED_OUT"),
    ],
    ids=["refused", "refused after a word", "error event after a word", "broken after a word", "silent after a word"],
)
async def test_neither_a_refused_question_nor_a_begun_answer_is_taken_anywhere_else(
    person: Person, server: AnthropicServer, script: list[Step], code: str
) -> None:
    server.script = script
    events = await in_time(person.ask(QUESTION))
    assert (events[-1]["failure"]["code"], retries(events), len(server.asked)) == (code, [], 1)
    assert text_of(events) == ("In 14" if script[:2] == BEGUN[:2] else "")
    ((_, provider, _, failure, _),) = await attempts(person)
    assert (provider, failure) == ("anthropic", code)


async def test_thinking_is_shown_and_an_answer_that_is_cut_at_its_length_is_complete(
    person: Person, server: AnthropicServer
) -> None:
    thought = Until()
    said: list[Step] = [Block(), Say("In 14"), Stop("max_tokens", 9), End()]
    server.script = [Begin(), Block("thinking"), Think("hm"), thought, *said]
    sent = await person.send(await person.conversation(), QUESTION)
    events = []
    async for event in person.follow(sent["answer"]["id"]):
        events.append(event)
        if event.get("step") == "THINKING":
            thought.event.set()
    assert (events[-1]["__typename"], text_of(events)) == ("AnswerCompleted", "In 14")
    assert [row[-1] for row in await attempts(person)] == ["LENGTH"]
    assert await tokens(person) == (7, 9)


async def test_a_stopped_answer_ends_the_vendor_s_call(person: Person, server: AnthropicServer) -> None:
    server.script = [*BEGUN, Until()]
    sent = await person.send(await person.conversation(), QUESTION)
    stop = "mutation($id: ID!) { stopAnswer(input: {answerId: $id}) { __typename } }"
    async for event in person.follow(sent["answer"]["id"]):
        if event["__typename"] == "AnswerDelta":
            await person.query(stop, id=sent["answer"]["id"])
    await in_time(server.cancelled.wait())


@pytest.mark.parametrize(("count", "cut"), [(20, False), (100_000, True)])
async def test_what_fits_is_decided_by_the_vendor_s_own_count(
    person: Person, server: AnthropicServer, count: int, cut: bool
) -> None:
    conversation = await person.conversation()
    server.scripts = [[Begin(), Block(), Say("word " * 300), Stop(), End()]]
    await person.ask(QUESTION, conversation)
    assert server.counted == []
    statement = "UPDATE assistants SET context_tokens = 700 WHERE tenant_id = $1"
    await as_owner(person.product.settings, statement, person.tenant_id)
    server.count = count
    await person.ask("And by whom?", conversation)
    (counted,) = server.counted
    assert "word word" in counted["messages"][0]["content"]
    if cut:
        assert len(server.asked) == 1, "not even the rules fit"
    else:
        assert [turn["role"] for turn in server.asked[1].body["messages"]] == ["user", "assistant", "user"]
