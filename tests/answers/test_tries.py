"""A model that fails before its first word is asked again, then another one; after it nobody is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from conversing import attempts, retries, text_of

from answers.asking import pause, too_long
from core.errors import ConfigurationError
from core.settings import Settings
from openai_server import Cut, Data, Done, OpenAIServer, Page, Refuse, Say, Step, Until
from owner import as_owner, uuid_of
from product import Person, Product, running_product
from providers.registry import Providers
from wire import in_time, openai

QUESTION = "When was Vexholm founded?"
ANSWER: list[Step] = [Say("In 1432."), Say(finish="stop"), Done()]


@pytest.fixture(scope="module")
async def made(lasting: Settings) -> AsyncIterator[tuple[OpenAIServer, Settings]]:
    async with openai(lasting, provider_timeout=1.0, fallback_chat_provider="local") as both:
        yield both


@pytest.fixture(scope="module")
async def own(made: tuple[OpenAIServer, Settings]) -> AsyncIterator[Product]:
    """One product with that server, and the local answerer behind it."""
    async with running_product(made[1]) as running:
        yield running


@pytest.fixture
def server(made: tuple[OpenAIServer, Settings]) -> OpenAIServer:
    """The vendor, as new."""
    made[0].renew()
    made[0].script = list(ANSWER)
    return made[0]


@pytest.fixture
async def person(own: Product, server: OpenAIServer) -> Person:
    return await own.sign_up(f"tries{time.monotonic_ns()}@example.test")


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        ([Refuse(503)], "The model cannot be reached. Trying again"),
        ([Refuse(429)], "The model is busy. Trying again"),
        ([Cut()], "The model cannot be reached. Trying again"),
        ([], "The model gave no usable answer. Trying again"),
        ([Data("{not json")], "The model gave no usable answer. Trying again"),
        ([Page("<p>", "text/html")], "The model gave no usable answer. Trying again"),
        ([Until()], "The model did not answer in time. Trying again"),
        ([Say(""), Until()], "The model did not answer in time. Trying again"),
    ],
    ids=["503", "429", "cut", "nothing", "rubbish", "a page", "hangs before its head", "hangs in its body"],
)
async def test_a_failure_before_the_first_word_is_tried_again_and_told(
    person: Person, server: OpenAIServer, failing: list[Step], reason: str
) -> None:
    server.scripts = [list(failing), list(failing)]
    events = await in_time(person.ask(QUESTION))
    assert retries(events) == [f"{reason} (try 2 of 3).", f"{reason} (try 3 of 3)."]
    assert (events[-1]["__typename"], text_of(events)) == ("AnswerCompleted", "In 1432.")
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert len(server.asked) == 3
    assert await attempts(person) == [(1, "openai", "gpt-4.1-mini", None, "COMPLETE")]


async def test_after_three_tries_the_fallback_is_asked_and_the_rows_tell_who_answered(
    person: Person, server: OpenAIServer
) -> None:
    await person.ready_document(b"Vexholm was founded in 1432 by Queen Astrid.\n")
    server.script = [Refuse(503)]
    events = await in_time(person.ask(QUESTION))
    assert retries(events)[2:] == ["The model cannot be reached. Another model is asked."]
    assert events[-1]["__typename"] == "AnswerCompleted"
    assert "1432" in text_of(events)
    assert len(server.asked) == 3
    query = "query($id: ID!) { node(id: $id) { ... on Answer { model } } }"
    answered_by = (await person.query(query, id=events[-1]["answer"]["id"]))["node"]["model"]
    assert answered_by != "gpt-4.1-mini"
    assert await attempts(person) == [
        (1, "openai", "gpt-4.1-mini", "PROVIDER_UNAVAILABLE", None),
        (2, "local", answered_by, None, "COMPLETE"),
    ]


@pytest.mark.parametrize(
    ("provider", "code"), [("anthropic", "PROVIDER_AUTH"), ("gone", "PROVIDER_UNAVAILABLE")], ids=["key", "provider"]
)
async def test_what_an_assistant_could_not_choose_any_more_is_the_fallback_s(
    person: Person, provider: str, code: str
) -> None:
    await person.ready_document(b"Vexholm was founded in 1432 by Queen Astrid.\n")
    statement = "UPDATE assistants SET provider = $2 WHERE tenant_id = $1"
    await as_owner(person.product.settings, statement, person.tenant_id, provider)
    events = await in_time(person.ask(QUESTION))
    assert (len(retries(events)), "1432" in text_of(events)) == (1, True)
    assert [row[1:4] for row in await attempts(person)] == [(provider, "", code), ("local", "extractive-1", None)]


@pytest.mark.parametrize("refusal", [Refuse(401), Refuse(404, {"message": "no model"})], ids=["key", "model"])
async def test_what_cannot_change_is_not_tried_again_but_taken_to_the_fallback(
    person: Person, server: OpenAIServer, refusal: Step
) -> None:
    server.script = [refusal]
    events = await in_time(person.ask(QUESTION))
    assert retries(events) == ["The model gave no usable answer. Another model is asked."]
    assert events[-1]["__typename"] == "AnswerCompleted"
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ([Refuse(400, {"code": "content_filter"})], "CONTENT_FILTERED"),
        (
            [Data({"choices": [{"delta": {"refusal": "I cannot help."}}]}), Say(finish="stop"), Done()],
            "CONTENT_FILTERED",
        ),
        ([Say("In 14"), Cut()], "PROVIDER_UNAVAILABLE"),
        ([Say("In 14"), Until()], "TIMED_OUT"),
    ],
    ids=["filtered", "refused", "broken after a word", "silent after a word"],
)
async def test_neither_a_refused_question_nor_a_begun_answer_is_taken_anywhere_else(
    person: Person, server: OpenAIServer, script: list[Step], code: str
) -> None:
    server.script = script
    events = await in_time(person.ask(QUESTION))
    assert (events[-1]["failure"]["code"], retries(events), len(server.asked)) == (code, [], 1)
    assert events[-1]["failure"]["retryable"] is (code != "CONTENT_FILTERED")
    ((_, provider, model, failure, _),) = await attempts(person)
    assert (provider, model, failure) == ("openai", "gpt-4.1-mini", code)


async def test_a_longer_wait_than_the_longest_pause_is_not_waited_for(person: Person, server: OpenAIServer) -> None:
    await person.ready_document(b"Vexholm was founded in 1432 by Queen Astrid.\n")
    server.script = [Refuse(429, headers={"Retry-After": "100"})]
    events = await in_time(person.ask(QUESTION))
    assert retries(events) == ["The model is busy. Another model is asked."]
    assert (events[-1]["__typename"], len(server.asked)) == ("AnswerCompleted", 1)
    assert "1432" in text_of(events)


async def test_without_a_fallback_a_long_wait_is_left_to_the_person(settings: Settings) -> None:
    async with openai(settings) as (server, changed):
        server.script = [Refuse(429, headers={"Retry-After": "20.5"})]
        async with running_product(changed, worker=False) as product:
            events = await in_time((await product.sign_up()).ask(QUESTION))
    assert (retries(events), len(server.asked)) == ([], 1)
    failure = events[-1]["failure"]
    assert (failure["code"], failure["retryable"]) == ("PROVIDER_RATE_LIMITED", True)


async def test_without_a_fallback_the_third_failure_is_the_answer_s(settings: Settings) -> None:
    async with openai(settings) as (server, changed):
        server.script = [Refuse(429)]
        async with running_product(changed, worker=False) as product:
            person = await product.sign_up()
            events = await in_time(person.ask(QUESTION))
            assert len(retries(events)) == 2
            assert events[-1]["failure"] == {
                "code": "PROVIDER_RATE_LIMITED",
                "message": "The AI provider's limit for this deployment is reached. Try again later.",
                "retryable": True,
            }
            assert len(server.asked) == 3
            # The next question finds everything in order.
            server.script = list(ANSWER)
            assert text_of(await in_time(person.ask(QUESTION))) == "In 1432."


@pytest.mark.long
@pytest.mark.parametrize("how", ["interrupted", "closed"])
async def test_a_pause_ends_at_once_when_the_answer_has_to(settings: Settings, how: str) -> None:
    async with openai(settings, provider_retry_longest=300.0) as (server, changed):
        server.script = [Refuse(429, headers={"Retry-After": "200"})]
        async with running_product(changed, worker=False) as product:
            person = await product.sign_up()
            sent = await person.send(await person.conversation(), QUESTION)
            events = []
            async with asyncio.timeout(10):
                async for event in person.follow(sent["answer"]["id"]):
                    events.append(event)
                    if retries(events) == ["The model is busy. Trying again in 200 seconds (try 2 of 3)."]:
                        if how == "closed":
                            break
                        await as_owner(changed, "UPDATE tenants SET suspended_at = now()")
            began = time.monotonic()
        assert time.monotonic() - began < 8
        assert len(server.asked) == 1
        (row,) = await as_owner(
            changed, "SELECT status, failure_code FROM answers WHERE id = $1", uuid_of(sent["answer"]["id"])
        )
        assert row == (("FAILED", "INTERRUPTED") if how == "interrupted" else ("STREAMING", None))
        if how == "closed":
            rows = await as_owner(changed, "SELECT ordinal, provider, finish_reason FROM answer_attempts")
            assert rows == [(1, "openai", "HANDED_OVER")]


def test_pauses_grow_with_jitter_up_to_a_limit_and_what_the_provider_asks_for_wins() -> None:
    settings = Settings(provider_retry_pause=0.5, provider_retry_longest=20.0)
    pauses = [[pause(settings, failures, None) for _ in range(200)] for failures in (1, 2, 3, 9)]
    for found, (least, most) in zip(pauses, [(0.375, 0.625), (0.75, 1.25), (1.5, 2.5), (20.0, 20.0)], strict=True):
        assert least <= min(found) <= max(found) <= most
    assert len(set(pauses[0])) > 100
    assert [pause(settings, 1, wanted) for wanted in (0.0, 7.0, 20.0)] == [0.0, 7.0, 20.0]
    assert [too_long(settings, wanted) for wanted in (None, 0.0, 20.0, 20.1)] == [False, False, False, True]


async def test_the_same_provider_twice_is_refused_at_the_start(settings: Settings) -> None:
    providers = Providers(settings.model_copy(update={"fallback_chat_provider": ("local",)}))
    with pytest.raises(ConfigurationError, match="FALLBACK_CHAT_PROVIDER: `local`"):
        await providers.check()
    await providers.aclose()
