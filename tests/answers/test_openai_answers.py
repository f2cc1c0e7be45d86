"""Answers by an OpenAI-compatible server, through the whole product: extremes, and failures that end an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from answers.writer import MAX_DELTA_CHARS
from core.errors import ErrorCode, FailureError
from core.settings import Settings
from openai_server import Cut, Data, Done, OpenAIServer, Raw, Say, Step, Until, Usage
from owner import as_owner
from product import Person, Product, running_product
from wire import in_time, openai

VEXHOLM = (
    b"The capital of Norlandia is Vexholm. It was founded in 1432 by Queen Astrid.\n\n"
    b"The harbour of Vexholm freezes from December to March. Ferries leave from pier nine.\n"
)
QUESTION = "When was Vexholm founded?"
ANSWER: list[Step] = [
    Say("Vexholm was foun"),
    Say("ded in 1432 by Queen Astrid ["),
    Say("1]."),
    Say(finish="stop"),
    Usage(120, 14),
    Done(),
]


@pytest.fixture(scope="module")
async def made(lasting: Settings) -> AsyncIterator[tuple[OpenAIServer, Settings]]:
    async with openai(lasting) as both:
        yield both


@pytest.fixture(scope="module")
async def own(made: tuple[OpenAIServer, Settings]) -> AsyncIterator[Product]:
    """One product whose answers are that server's, for all tests of this file that break nothing else."""
    async with running_product(made[1]) as running:
        yield running


@pytest.fixture(scope="module")
async def somebody(own: Product) -> Person:
    """Somebody with a document to ask about."""
    person = await own.sign_up("openai@example.test")
    await person.ready_document(VEXHOLM)
    return person


@pytest.fixture
def server(made: tuple[OpenAIServer, Settings]) -> OpenAIServer:
    """The vendor, as new."""
    made[0].renew()
    made[0].script = list(ANSWER)
    return made[0]


def text_of(events: list[dict[str, Any]]) -> str:
    """What a client shows."""
    return "".join(event["text"] for event in events if event["__typename"] == "AnswerDelta")


def in_order(events: list[dict[str, Any]]) -> bool:
    """Whether the sequences are 1, 2, 3 … without holes, merged ones counted."""
    expected = 1
    for event in events:
        if event.get("firstSequence", event["sequence"]) != expected:
            return False
        expected = event["sequence"] + 1
    return True


async def test_an_answer_streams_with_its_citation_and_its_usage(somebody: Person, server: OpenAIServer) -> None:
    events = await in_time(somebody.ask(QUESTION))
    assert text_of(events) == "Vexholm was founded in 1432 by Queen Astrid [1]."
    assert in_order(events)
    assert "1432" in next(e["citation"]["quote"] for e in events if e["__typename"] == "AnswerCitation")
    rows = await as_owner(
        somebody.product.settings,
        "SELECT provider, model, finish_reason, input_tokens, output_tokens FROM answer_attempts WHERE tenant_id = $1",
        somebody.tenant_id,
    )
    assert rows == [("openai", "gpt-4.1-mini", "COMPLETE", 120, 14)]
    messages = server.asked[0].body["messages"]
    assert messages[0]["role"] == "system"
    assert "It was founded in 1432" in messages[-1]["content"]


async def test_text_is_on_its_way_before_the_answer_is_complete(somebody: Person, server: OpenAIServer) -> None:
    rest = Until()
    server.script = [Say("Vexholm was"), rest, *ANSWER[1:]]
    sent = await somebody.send(await somebody.conversation(), QUESTION)
    async with asyncio.timeout(10):
        async for event in somebody.follow(sent["answer"]["id"]):
            if event["__typename"] == "AnswerDelta" and not rest.event.is_set():
                assert event["text"] == "Vexholm was"
                rest.event.set()
    assert rest.event.is_set()


HUGE = "".join(chr(0x1F600 + index % 40) + "é x" for index in range(120_000))
HALF, OTHER_HALF = (
    b'data: {"choices": [{"delta": {"content": "%b"}}]}\n\n' % text for text in (b"a\\ud83d", b"\\ude00b")
)
BRACKETS = "[" * 300_000


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ([Say(HUGE), Say(" end"), Say(finish="stop"), Done()], HUGE + " end"),
        ([Say(BRACKETS), Say("[1"), Say(finish="stop"), Done()], BRACKETS + "[1"),
        ([Say(""), Data({"choices": [{"delta": None}]}), Say(""), Say("a"), Done()], "a"),
        ([Raw(b'data: {"choices": [{"delta": {"content": "a\xff\\u0000b"}}]}\n\n'), Done()], "a\ufffdb"),
        ([Raw(HALF), Done()], "a\ufffd"),
        ([Raw(HALF), Raw(OTHER_HALF), Say(finish="stop"), Done()], "a\U0001f600b"),
    ],
    ids=[
        "a megabyte in one token",
        "brackets without end",
        "empty deltas",
        "not UTF-8, and NUL",
        "half a character",
        "two halves",
    ],
)
async def test_extremes_break_nothing(
    somebody: Person, server: OpenAIServer, script: list[Step], expected: str
) -> None:
    server.script = script
    events = await in_time(somebody.ask(QUESTION))
    assert events[-1]["__typename"] == "AnswerCompleted", events[-1]
    assert text_of(events) == expected == events[-1]["answer"]["message"]["text"]
    assert in_order(events)
    merged = MAX_DELTA_CHARS * max(e["sequence"] - e["firstSequence"] + 1 for e in events if "firstSequence" in e)
    assert max(len(e["text"]) for e in events if e["__typename"] == "AnswerDelta") <= merged


async def test_hidden_thinking_is_shown_once(somebody: Person, server: OpenAIServer) -> None:
    thought, rest = Data({"choices": [{"delta": {"reasoning_content": "hm"}}]}), Until()
    server.script = [thought, thought, rest, *ANSWER]
    sent = await somebody.send(await somebody.conversation(), QUESTION)
    events = []
    async with asyncio.timeout(10):
        async for event in somebody.follow(sent["answer"]["id"]):
            events.append(event)
            if event.get("step") == "THINKING":
                rest.event.set()
    assert [e["step"] for e in events if e["__typename"] == "AnswerStep"] == ["RETRIEVING", "READING", "THINKING"]
    assert text_of(events) == "Vexholm was founded in 1432 by Queen Astrid [1]."


@pytest.mark.parametrize(
    ("end", "code", "retryable"),
    [
        ([Cut()], "PROVIDER_UNAVAILABLE", True),
        ([], "PROVIDER_UNAVAILABLE", True),
        ([Data({"error": {"code": 429}})], "PROVIDER_RATE_LIMITED", True),
        ([Data("{not json")], "PROVIDER_BAD_RESPONSE", True),
        ([Say(finish="content_filter"), Done()], "CONTENT_FILTERED", False),
    ],
    ids=["cut", "closed", "refused", "rubbish", "filtered"],
)
async def test_a_failure_in_the_middle_keeps_the_text_and_is_not_tried_again(
    somebody: Person, server: OpenAIServer, end: list[Step], code: str, retryable: bool
) -> None:
    server.script = [Say("Vexholm was "), Say("founded"), *end]
    events = await in_time(somebody.ask(QUESTION))
    assert events[-1]["__typename"] == "AnswerFailed"
    assert (events[-1]["failure"]["code"], events[-1]["failure"]["retryable"]) == (code, retryable)
    assert text_of(events) == events[-1]["answer"]["message"]["text"]
    assert text_of(events).strip() == "Vexholm was founded"
    assert len(server.asked) == 1


async def test_a_model_that_falls_silent_between_words_is_given_up_and_its_call_ended(settings: Settings) -> None:
    async with openai(settings, provider_timeout=0.5) as (server, changed):
        server.script = [Say("Vexholm was"), Until()]
        async with running_product(changed, worker=False) as product:
            person = await product.sign_up()
            events = await in_time(person.ask(QUESTION))
            assert events[-1]["failure"]["code"] == "TIMED_OUT"
            assert text_of(events) == "Vexholm was"
            await in_time(server.cancelled.wait())
        assert len(server.asked) == 1


async def test_interrupting_the_answer_closes_the_connection_to_the_model_at_once(
    somebody: Person, server: OpenAIServer
) -> None:
    server.script = [Say("Vexholm was"), Until()]
    sent = await somebody.send(await somebody.conversation(), QUESTION)
    events = []
    async with asyncio.timeout(10):
        async for event in somebody.follow(sent["answer"]["id"]):
            events.append(event)
            if event["__typename"] == "AnswerDelta":
                _interrupt_all(somebody.product)
    await in_time(server.cancelled.wait())
    assert events[-1]["failure"]["message"] == "It was stopped by a test."
    assert text_of(events) == "Vexholm was" == events[-1]["answer"]["message"]["text"]


def _interrupt_all(product: Product) -> None:
    for _, attempt in product.services.supervisor._attempts.values():
        attempt.interrupt(FailureError(ErrorCode.INTERRUPTED, "It was stopped by a test.", retryable=True))


@pytest.mark.long
async def test_closing_the_product_closes_the_connection_to_the_model(settings: Settings) -> None:
    async with openai(settings) as (server, changed):
        server.script = [Say("Vexholm was"), Until()]
        async with running_product(changed, worker=False) as product:
            person = await product.sign_up()
            await person.send(await person.conversation(), QUESTION)
            await in_time(server.arrived.wait())
            assert not server.cancelled.is_set()
        await in_time(server.cancelled.wait())
