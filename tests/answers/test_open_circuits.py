"""A provider that keeps failing is passed over, by answers and in order; what its health is, people see."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from choosing import ask, assistant, create, update
from conversing import attempts, retries

from answers.asking import several_times
from anthropic_server import AnthropicServer
from core.settings import Settings
from openai_server import Done, OpenAIServer, Refuse, Say, Step, Usage
from product import Person, Product, running_product
from providers.circuits import CircuitOpenError
from wire import anthropic, in_time, openai

QUESTION = "When was Vexholm founded?"
ANSWER: list[Step] = [Say("In 1432."), Say(finish="stop"), Usage(10, 2), Done()]
HEALTH = "{ viewer { providers { name health { state calls failures failureRate lastFailureAt lastFailureCode } } } }"
SET = 'mutation { setProviderKey(input: {provider: "openai", key: "sk-own-0123456789"}) { __typename } }'


@pytest.fixture(scope="module")
async def made(lasting: Settings) -> AsyncIterator[tuple[OpenAIServer, AnthropicServer, Settings]]:
    changes = {"provider_circuit_failures": 4, "provider_circuit_pause": 600.0, "fallback_chat_provider": "anthropic"}
    async with (
        openai(lasting) as (first, changed),
        anthropic(changed, chat_provider="openai", **changes) as (second, both),
    ):
        yield first, second, both


@pytest.fixture(scope="module")
async def own(made: tuple[OpenAIServer, AnthropicServer, Settings]) -> AsyncIterator[Product]:
    async with running_product(made[2], worker=False) as running:
        yield running


@pytest.fixture
def server(made: tuple[OpenAIServer, AnthropicServer, Settings], own: Product) -> OpenAIServer:
    """The vendor, as new; nothing is known of it."""
    made[0].renew()
    made[0].script = list(ANSWER)
    own.services.providers.circuits._platform.clear()
    return made[0]


@pytest.fixture
def other(made: tuple[OpenAIServer, AnthropicServer, Settings]) -> AnthropicServer:
    made[1].renew()
    return made[1]


@pytest.fixture
async def person(own: Product, server: OpenAIServer) -> Person:
    return await own.sign_up()


async def health(person: Person, provider: str = "openai") -> dict[str, Any]:
    """Of a provider, as the person sees it."""
    nodes = (await person.query(HEALTH))["viewer"]["providers"]
    return next(node["health"] for node in nodes if node["name"] == provider)  # type: ignore[no-any-return]


async def test_an_open_circuit_is_passed_over_at_once_until_one_call_has_found_out(
    server: OpenAIServer, other: AnthropicServer, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script = [Refuse(503)]
    text, handler = io.StringIO(), logging.StreamHandler()
    handler.setStream(text)
    logging.getLogger().addHandler(handler)
    try:
        for _ in range(2):
            assert (await in_time(person.ask(QUESTION)))[-1]["__typename"] == "AnswerCompleted"
        # Three tries, then one that opened it: the next were not made.
        assert len(server.asked) == 4
        shown = await health(person)
        assert (shown["state"], shown["calls"], shown["failures"], shown["failureRate"]) == ("OPEN", 4, 4, 1.0)
        assert shown["lastFailureCode"] == "PROVIDER_UNAVAILABLE"
        events = await in_time(person.ask(QUESTION))
        assert retries(events) == ["The model cannot be reached. Another model is asked."]
        assert (len(server.asked), len(other.asked)) == (4, 3)
        server.script = list(ANSWER)
        # Ten minutes later.
        circuits = person.product.services.providers.circuits
        monkeypatch.setattr(circuits, "_clock", lambda: time.monotonic() + 600)
        assert (await health(person))["state"] == "HALF_OPEN"
        assert retries(await in_time(person.ask(QUESTION))) == []
        assert (len(server.asked), (await health(person))["state"]) == (5, "CLOSED")
    finally:
        logging.getLogger().removeHandler(handler)
    assert text.getvalue().count("provider circuit opened") == 1
    assert text.getvalue().count("provider circuit closed") == 1


async def test_a_bad_key_of_one_s_own_opens_its_circuit_and_nobody_else_s(
    server: OpenAIServer, other: AnthropicServer, own: Product, person: Person
) -> None:
    bystander = await own.sign_up()
    await person.query(SET)
    server.script = [Refuse(401)]
    for _ in range(5):
        await in_time(person.ask(QUESTION))
    assert len(server.asked) == 4
    server.script = list(ANSWER)
    assert (await health(person))["state"] == "OPEN"
    assert (await health(bystander))["state"] == "CLOSED"
    assert retries(await in_time(bystander.ask(QUESTION))) == []
    assert [row[1] for row in await attempts(bystander)] == ["openai"]


async def test_where_nobody_is_left_to_ask_the_answer_fails_at_once_and_may_be_asked_for_again(
    server: OpenAIServer, person: Person
) -> None:
    alone = await assistant(person, fallbackProviders=[])
    server.script = [Refuse(503)]
    for _ in range(2):
        await in_time(ask(person, alone, QUESTION))
    began = time.monotonic()
    events = await in_time(ask(person, alone, QUESTION))
    assert (len(server.asked), retries(events), time.monotonic() - began < 1.5) == (4, [], True)
    failure = events[-1]["failure"]
    assert (failure["code"], failure["retryable"]) == ("PROVIDER_UNAVAILABLE", True)
    assert "left alone for a moment" in failure["message"]


async def test_an_open_circuit_is_not_waited_for_however_short_its_pause() -> None:
    asked, told = 0, list[str]()

    async def ask_once() -> None:
        nonlocal asked
        asked += 1
        raise CircuitOpenError(0.0, own=False)

    with pytest.raises(CircuitOpenError):
        await several_times(ask_once, Settings(), provider="openai", tell=told.append)
    assert (asked, told) == (1, [])


async def test_what_the_cache_knows_needs_no_circuit(lasting: Settings, server: OpenAIServer) -> None:
    changes = {"provider_circuit_failures": 1, "cache_ttl_llm_responses": 60, "openai_base_url": server.base_url}
    settings = Settings.model_validate(lasting.model_dump() | {"chat_provider": "openai", **changes})
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up("cached@circuits.test")
        await in_time(person.ask(QUESTION))
        server.script = [Refuse(401)]
        assert (await in_time(person.ask("And by whom?")))[-1]["__typename"] == "AnswerFailed"
        assert (await health(person))["state"] == "OPEN"
        assert (await in_time(person.ask(QUESTION)))[-1]["__typename"] == "AnswerCompleted"


async def test_an_assistant_s_order_is_asked_in_the_place_of_the_platform_s(
    server: OpenAIServer, other: AnthropicServer, person: Person
) -> None:
    chosen = await assistant(person, provider="anthropic", fallbackProviders=["openai", "local"])
    other.script = [Refuse(401)]
    server.script = [Refuse(401)]
    await in_time(ask(person, chosen, QUESTION))
    assert [row[1] for row in await attempts(person)] == ["anthropic", "openai", "local"]
    await update(person, chosen, fallbackProviders=None)
    query = "query($id: ID!) { node(id: $id) { ... on Assistant { fallbackProviders } } }"
    assert (await person.query(query, id=chosen))["node"] == {"fallbackProviders": None}
    for wrong in (["nobody"], ["local", "local"], ["gemini"]):
        refused = await create(person, fallbackProviders=wrong)
        assert (refused["__typename"], refused["field"]) == ("InvalidInput", "fallbackProviders")
