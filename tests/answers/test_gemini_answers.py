"""Answers by Gemini, through the whole product, against a server that speaks its wire protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from core.errors import ConfigurationError
from core.settings import Settings
from owner import as_owner, uuid_of
from product import Person, Product, running_product
from providers.registry import Providers
from wire import Cut, Fail, GeminiServer, Raw, Say, Step, Until, gemini, in_time

STATUS = grpc.StatusCode
VEXHOLM = (
    b"The capital of Norlandia is Vexholm. It was founded in 1432 by Queen Astrid.\n\n"
    b"The harbour of Vexholm freezes from December to March. Ferries leave from pier nine.\n"
)
QUESTION = "When was Vexholm founded?"
ANSWER: list[Step] = [
    Say("Vexholm was foun"),
    Say("ded in 1432 by Queen Astrid ["),
    Say("1]."),
    Say(finish="STOP", usage=(120, 14, 150)),
]
USAGE = "query($id: ID!) { node(id: $id) { ... on Answer { model usage { inputTokens outputTokens totalMs } } } }"


@pytest.fixture
async def made(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[GeminiServer, Settings]]:
    async with gemini(settings, tmp_path, chat_provider="gemini") as both:
        yield both


@pytest.fixture
def server(made: tuple[GeminiServer, Settings]) -> GeminiServer:
    """The vendor."""
    made[0].script = list(ANSWER)
    return made[0]


@pytest.fixture
async def product(made: tuple[GeminiServer, Settings]) -> AsyncIterator[Product]:
    """A product whose answers are Gemini's, and whose embeddings are local."""
    async with running_product(made[1]) as running:
        yield running


@pytest.fixture
async def person(product: Product) -> Person:
    """Somebody with a document to ask about."""
    person = await product.sign_up()
    await person.ready_document(VEXHOLM)
    return person


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """The kinds of the events, each run of deltas once."""
    names = [event["__typename"] for event in events]
    return [name for index, name in enumerate(names) if name != "AnswerDelta" or names[index - 1] != name]


def text_of(events: list[dict[str, Any]]) -> str:
    """What a client shows."""
    return "".join(event["text"] for event in events if event["__typename"] == "AnswerDelta")


async def failed(person: Person, conversation: str | None = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Ask what will fail: all events, and the failure; the stored text is what the deltas said."""
    events = await in_time(person.ask(QUESTION, conversation))
    last = events[-1]
    assert last["__typename"] == "AnswerFailed", events
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert last["answer"]["status"] == "FAILED"
    assert ((last["answer"]["message"] or {}).get("text") or "") == text_of(events)
    assert "internal text of the vendor" not in json.dumps(events)
    return events, last["failure"]


async def test_the_same_question_gives_the_same_kinds_of_events_as_the_local_answerer(
    settings: Settings, person: Person, server: GeminiServer
) -> None:
    events = await person.ask(QUESTION)
    async with running_product(settings) as other:
        local = await other.sign_up("local@example.test")
        await local.ready_document(VEXHOLM)
        expected = await local.ask(QUESTION)
    assert set(kinds(events)) == set(kinds(expected))
    assert kinds(events)[:3] == kinds(expected)[:3] == ["AnswerStarted", "AnswerStep", "AnswerStep"]
    assert kinds(events)[-1] == kinds(expected)[-1] == "AnswerCompleted"
    assert [event.get("step") for event in events[1:3]] == [event.get("step") for event in expected[1:3]]
    assert [set(event) for event in events[:3]] == [set(event) for event in expected[:3]]


async def test_an_answer_streams_with_its_citation_before_its_marker_and_its_usage_stored(
    person: Person, server: GeminiServer
) -> None:
    events = await person.ask(QUESTION)
    assert text_of(events) == "Vexholm was founded in 1432 by Queen Astrid [1]."
    names = [event["__typename"] for event in events]
    marked = next(i for i, e in enumerate(events) if e["__typename"] == "AnswerDelta" and "[1]" in e["text"])
    assert names.index("AnswerCitation") < marked
    citation = events[names.index("AnswerCitation")]["citation"]
    assert "1432" in citation["quote"]
    assert citation["quote"] in citation["chunk"]["text"]
    answer = events[-1]["answer"]
    assert (answer["status"], answer["message"]["text"]) == ("COMPLETED", text_of(events))
    stored = (await person.query(USAGE, id=answer["id"]))["node"]
    assert stored["model"] == "gemini-2.5-flash"
    # Thinking is billed as output: 150 in all, less the prompt's 120.
    assert (stored["usage"]["inputTokens"], stored["usage"]["outputTokens"]) == (120, 30)
    rows = await as_owner(person.product.settings, "SELECT provider, model, finish_reason FROM answer_attempts")
    assert rows == [("gemini", "gemini-2.5-flash", "COMPLETE")]


async def test_text_is_on_its_way_before_the_answer_is_complete(person: Person, server: GeminiServer) -> None:
    rest = Until()
    server.script = [Say("Vexholm was"), rest, Say(" foun"), *ANSWER[1:]]
    sent = await person.send(await person.conversation(), QUESTION)
    async for event in person.follow(sent["answer"]["id"]):
        if event["__typename"] == "AnswerDelta" and not rest.event.is_set():
            assert event["text"] == "Vexholm was"
            rest.event.set()
    assert rest.event.is_set()


async def test_the_model_is_given_the_passages_the_rules_and_what_was_said_before(
    person: Person, server: GeminiServer
) -> None:
    conversation = await person.conversation()
    await person.ask(QUESTION, conversation)
    await person.ask("And who founded it?", conversation)
    asked = [one.message for one in server.asked if one.method == "StreamGenerateContent"]
    assert "only from the context" in asked[0].system_instruction.parts[0].text
    assert "It was founded in 1432 by Queen Astrid." in asked[0].contents[-1].parts[0].text
    assert QUESTION in asked[0].contents[-1].parts[0].text
    turns = [(turn.role, turn.parts[0].text) for turn in asked[1].contents]
    assert [role for role, _ in turns] == ["user", "model", "user"]
    assert QUESTION in turns[0][1]
    assert turns[1][1].startswith("Vexholm was founded in 1432")


async def test_a_marker_without_a_source_is_left_out(person: Person, server: GeminiServer) -> None:
    server.script = [Say("It was 1432 [7]. Really [1]."), Say(finish="STOP", usage=(1, 1, 2))]
    events = await person.ask(QUESTION)
    assert "[7]" not in text_of(events)
    assert [e["citation"]["marker"] for e in events if e["__typename"] == "AnswerCitation"] == [1]
    assert text_of(events) == events[-1]["answer"]["message"]["text"]


@pytest.mark.parametrize(
    ("script", "code", "retryable"),
    [
        ([Fail(STATUS.UNAVAILABLE)], "PROVIDER_UNAVAILABLE", True),
        ([Fail(STATUS.RESOURCE_EXHAUSTED)], "PROVIDER_RATE_LIMITED", True),
        ([Fail(STATUS.UNAUTHENTICATED)], "PROVIDER_AUTH", False),
        ([Fail(STATUS.PERMISSION_DENIED)], "PROVIDER_AUTH", False),
        (
            [Fail(STATUS.INVALID_ARGUMENT, "Request payload size exceeds the limit: 2 bytes.")],
            "CONTEXT_TOO_LONG",
            False,
        ),
        ([Say(blocked="SAFETY")], "CONTENT_FILTERED", False),
        ([], "PROVIDER_BAD_RESPONSE", True),
        ([Raw(b"\xff\xff\xff")], "PROVIDER_BAD_RESPONSE", True),
        ([Say("", finish="STOP")], "PROVIDER_BAD_RESPONSE", True),
    ],
    ids=["unavailable", "rate limit", "key", "forbidden", "too long", "blocked", "nothing", "rubbish", "empty"],
)
async def test_a_failure_before_any_text_is_told_and_the_next_question_works(
    person: Person, server: GeminiServer, script: list[Step], code: str, retryable: bool
) -> None:
    conversation = await person.conversation()
    server.script = script
    events, failure = await failed(person, conversation)
    assert (failure["code"], failure["retryable"]) == (code, retryable)
    assert (failure["message"], text_of(events)) != ("", "")
    assert text_of(events) == ""
    assert events[-1]["answer"]["message"] is None
    server.script = list(ANSWER)
    assert (await person.ask(QUESTION, conversation))[-1]["__typename"] == "AnswerCompleted"


@pytest.mark.parametrize(
    ("end", "code", "retryable"),
    [
        ([Fail(STATUS.UNAVAILABLE)], "PROVIDER_UNAVAILABLE", True),
        ([Cut()], "PROVIDER_UNAVAILABLE", True),
        ([Say(finish="SAFETY", usage=(3, 1, 4))], "CONTENT_FILTERED", False),
        ([Raw(b"\xff\xff\xff")], "PROVIDER_BAD_RESPONSE", True),
        ([], "PROVIDER_BAD_RESPONSE", True),
    ],
    ids=["refused", "connection lost", "filtered", "rubbish", "no end"],
)
async def test_a_failure_in_the_middle_keeps_the_text_that_was_said(
    person: Person, server: GeminiServer, end: list[Step], code: str, retryable: bool
) -> None:
    seen = Until()
    server.script = [Say("Vexholm was founded in 1432 [1] "), Say("by Queen"), seen, *end]
    sent = await person.send(await person.conversation(), QUESTION)
    events = []
    async for event in person.follow(sent["answer"]["id"]):
        events.append(event)
        if "Queen" in text_of(events):
            seen.event.set()
    assert events[-1]["failure"]["code"] == code
    assert events[-1]["failure"]["retryable"] is retryable
    assert text_of(events) == "Vexholm was founded in 1432 [1] by Queen"
    assert events[-1]["answer"]["message"]["text"] == text_of(events)
    again = [event async for event in person.follow(sent["answer"]["id"])]
    assert again == events
    rows = await as_owner(
        person.product.settings,
        "SELECT failure_code, quote FROM answer_attempts a JOIN citations c USING (tenant_id, answer_id)",
    )
    assert [row[0] for row in rows] == [code]
    assert "1432" in rows[0][1]


@pytest.mark.long
@pytest.mark.parametrize("said", [[], [Say("Vexholm was")]], ids=["before the first word", "between words"])
async def test_a_model_that_falls_silent_is_given_up_and_its_call_ended(
    settings: Settings, tmp_path: Path, said: list[Step]
) -> None:
    async with gemini(settings, tmp_path, chat_provider="gemini", provider_timeout=0.7) as (server, changed):
        server.script = [*said, Until()]
        async with running_product(changed) as product:
            person = await product.sign_up()
            await person.ready_document(VEXHOLM)
            events, failure = await failed(person)
        assert (failure["code"], failure["retryable"]) == ("TIMED_OUT", True)
        assert text_of(events) == "".join(step.text for step in said if isinstance(step, Say))
        await in_time(server.cancelled.wait())


@pytest.mark.long
async def test_closing_the_product_ends_the_call_at_the_wire_and_the_next_one_answers_anew(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    server.script = [Say("Vexholm was"), Until()]
    async with running_product(settings) as product:
        person = await product.sign_up()
        await person.ready_document(VEXHOLM)
        sent = await person.send(await person.conversation(), QUESTION)
        answer_id = sent["answer"]["id"]
        async for event in person.follow(answer_id):
            if event["__typename"] == "AnswerDelta":
                break
        assert not server.cancelled.is_set()
    await in_time(server.cancelled.wait())
    ((status, epoch),) = await as_owner(settings, "SELECT status, epoch FROM answers WHERE id = $1", uuid_of(answer_id))
    assert (status, epoch) == ("STREAMING", 1)
    server.script = list(ANSWER)
    async with running_product(settings) as product:
        person = Person(product, person.token, person.email, person.user_id)
        async with asyncio.timeout(10):
            events = [event async for event in person.follow(answer_id)]
    assert events[-1]["__typename"] == "AnswerCompleted"
    restarted = max(i for i, e in enumerate(events) if e["__typename"] in ("AnswerRestarted", "AnswerStarted"))
    assert text_of(events[restarted:]) == events[-1]["answer"]["message"]["text"]
    assert events[-1]["answer"]["attempt"] == 2


@pytest.mark.parametrize(
    ("script", "words"),
    [([Fail(STATUS.UNAUTHENTICATED)], "GEMINI_API_KEY"), ([Fail(STATUS.NOT_FOUND)], "GEMINI_CHAT_MODEL")],
)
async def test_a_wrong_key_or_model_stops_the_start_and_names_the_setting(
    made: tuple[GeminiServer, Settings], script: list[Step], words: str
) -> None:
    server, settings = made
    server.model_script = script
    providers = Providers(settings)
    try:
        with pytest.raises(ConfigurationError, match=words):
            await providers.check()
    finally:
        await providers.aclose()


def test_certificates_that_cannot_be_read_are_told_with_the_name_of_their_setting(settings: Settings) -> None:
    changes = {"gemini_api_key": "k", "gemini_root_certificates": Path("/nowhere/ca.pem")}
    providers = Providers(Settings.model_validate(settings.model_dump() | changes))
    with pytest.raises(ConfigurationError, match=r"GEMINI_ROOT_CERTIFICATES: /nowhere/ca\.pem"):
        providers.chat("gemini")


@pytest.mark.parametrize("counts", [True, False])
async def test_where_the_estimate_would_cut_the_vendors_own_count_decides(
    person: Person, server: GeminiServer, *, counts: bool
) -> None:
    conversation = await person.conversation()
    server.script = [Say("Vexholmiensis [1]. " * 100), Say(finish="STOP", usage=(120, 400, 520))]
    await person.ask(QUESTION, conversation)
    # The estimate is five tokens to such a word, the vendor's count is one.
    await as_owner(
        person.product.settings, "UPDATE assistants SET context_tokens = 1100 WHERE tenant_id = $1", person.tenant_id
    )
    server.script = list(ANSWER)
    server.count_script = [] if counts else [Fail(STATUS.UNAVAILABLE)]
    events = await person.ask("And by whom?", conversation)
    assert events[-1]["__typename"] == "AnswerCompleted"
    assert [asked.method for asked in server.asked[-2:]] == ["CountTokens", "StreamGenerateContent"]
    cut = [event["detail"] for event in events if event.get("step") == "CONTEXT_CUT"]
    assert cut == ([] if counts else ["1 earlier message did not fit and was left out."])
