"""What is chosen for an assistant is what its answers are made with; what cannot be chosen any more fails by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from choosing import ask, assistant, create, update
from conversing import attempts

from anthropic_server import AnthropicServer
from core.settings import Settings
from openai_server import Done, OpenAIServer, Say, Step, Usage
from owner import as_owner
from product import Person, Product, running_product
from wire import anthropic, in_time, openai

if TYPE_CHECKING:
    from conftest import SettingsOn

PRICES = """
[[price]]
provider = "openai"
model = "gpt-large"
since = 2026-01-01
input = 2.00
output = 8.00
"""
VEXHOLM = b"The capital of Norlandia is Vexholm. It was founded in 1432 by Queen Astrid.\n"
QUESTION = "When was Vexholm founded?"
ANSWER: list[Step] = [Say("In 1432 [1]."), Say(finish="stop"), Usage(1_000, 100), Done()]
USAGE = "query($id: ID!) { node(id: $id) { ... on Answer { model usage { cost cached } } } }"


@pytest.fixture(scope="module")
def lasting(settings_on: SettingsOn, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("lasting")
    with settings_on(template, folder) as settings:
        prices = folder / "prices.toml"
        prices.write_text(PRICES)
        yield settings.model_copy(update={"model_prices": prices, "cache_ttl_llm_responses": 60})


@pytest.fixture(scope="module")
async def made(lasting: Settings) -> AsyncIterator[tuple[OpenAIServer, AnthropicServer, Settings]]:
    async with (
        openai(lasting) as (first, changed),
        anthropic(changed, chat_provider="local", gemini_api_key="two words") as (second, both),
    ):
        yield first, second, both


@pytest.fixture(scope="module")
async def own(made: tuple[OpenAIServer, AnthropicServer, Settings]) -> AsyncIterator[Product]:
    """A product that the local model answers in, and where two vendors can be chosen."""
    async with running_product(made[2]) as running:
        yield running


@pytest.fixture
def server(made: tuple[OpenAIServer, AnthropicServer, Settings]) -> OpenAIServer:
    made[0].renew()
    made[0].script = list(ANSWER)
    made[0].models, made[0].models_status = {"gpt-4.1-mini", "gpt-large"}, 200
    return made[0]


@pytest.fixture
def other(made: tuple[OpenAIServer, AnthropicServer, Settings]) -> AnthropicServer:
    made[1].renew()
    return made[1]


@pytest.fixture
async def person(own: Product) -> Person:
    person = await own.sign_up()
    await person.ready_document(VEXHOLM)
    return person


async def usage(person: Person, events: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer's model and usage."""
    return (await person.query(USAGE, id=events[-1]["answer"]["id"]))["node"]  # type: ignore[no-any-return]


async def test_provider_model_and_temperature_are_what_is_asked_and_paid(server: OpenAIServer, person: Person) -> None:
    chosen = await assistant(person, provider="openai", model="gpt-large", temperature=0.7, instructions="Be kind.")
    events = await in_time(ask(person, chosen, QUESTION))
    body = server.asked[-1].body
    assert (body["model"], body["temperature"]) == ("gpt-large", 0.7)
    assert "Be kind." in body["messages"][0]["content"]
    found = await usage(person, events)
    assert found == {"model": "gpt-large", "usage": {"cost": "0.002800000", "cached": False}}
    assert Decimal(found["usage"]["cost"]) == (1_000 * Decimal(2) + 100 * Decimal(8)) / 1_000_000
    assert await attempts(person) == [(1, "openai", "gpt-large", None, "COMPLETE")]


async def test_a_change_counts_from_the_next_answer_and_the_cache_tells_choices_apart(
    server: OpenAIServer, other: AnthropicServer, person: Person
) -> None:
    chosen = await assistant(person, provider="openai", model="gpt-large")
    for cached in (False, True):
        assert (await usage(person, await ask(person, chosen, QUESTION)))["usage"]["cached"] is cached
    for change in ({"temperature": 0.9}, {"model": "gpt-4.1-mini"}, {"provider": "anthropic"}):
        assert (await update(person, chosen, **change))["__typename"] == "UpdateAssistantPayload"
        assert (await usage(person, await ask(person, chosen, QUESTION)))["usage"]["cached"] is False
    assert (len(server.asked), len(other.asked)) == (3, 1)
    # The other provider's own model, and not the one that was chosen with the one before.
    assert other.asked[0].body["model"] == person.product.settings.anthropic_model


async def test_the_budget_of_a_prompt_is_the_assistant_s(server: OpenAIServer, person: Person) -> None:
    chosen = await assistant(person, provider="openai", contextTokens=500)
    long = "word " * 400
    events = await ask(person, chosen, long)
    assert events[-1]["failure"]["code"] == "CONTEXT_TOO_LONG"
    await update(person, chosen, contextTokens=None)
    assert (await ask(person, chosen, long))[-1]["__typename"] == "AnswerCompleted"


async def test_the_vendor_is_asked_whether_it_has_the_model(
    server: OpenAIServer, other: AnthropicServer, person: Person
) -> None:
    for provider in ("openai", "anthropic"):
        # The last ones would be other paths of the server's.
        for name in ("gpt-99", "../../admin?x=1", "..", "models//gpt-large"):
            refused = await create(person, provider=provider, model=name)
            assert (refused["__typename"], refused["field"]) == ("InvalidInput", "model")
            assert "no model" in refused["message"]
    server.models_status = 401
    refused = await create(person, provider="openai", model="gpt-large")
    assert (refused["__typename"], refused["field"]) == ("InvalidInput", "provider")
    # A vendor's bad day keeps nobody from choosing.
    server.models_status = 503
    assert (await create(person, provider="openai", model="gpt-99"))["__typename"] == "CreateAssistantPayload"
    assert server.asked == []


async def test_the_vendor_decides_how_high_the_temperature_is(server: OpenAIServer, person: Person) -> None:
    chosen = await assistant(person, provider="openai", temperature=1.5)
    refused = await update(person, chosen, provider="anthropic")
    assert (refused["field"], refused["message"]) == (
        "temperature",
        "The temperature is between 0 and 1 with anthropic.",
    )
    assert (await update(person, chosen, provider="anthropic", temperature=1.0))["__typename"].endswith("Payload")


async def set_provider(person: Person, provider: str) -> None:
    """Have the first assistant's choice be one that could not be made now."""
    statement = "UPDATE assistants SET provider = $2 WHERE tenant_id = $1"
    await as_owner(person.product.settings, statement, person.tenant_id, provider)


@pytest.mark.parametrize("provider", ["gone", "gemini"], ids=["no such provider any more", "a key that is none"])
async def test_a_choice_that_has_become_impossible_fails_by_name(person: Person, provider: str) -> None:
    await set_provider(person, provider)
    events = await in_time(person.ask(QUESTION))
    assert events[-1]["__typename"] == "AnswerFailed"
    assert (events[-1]["failure"]["code"], events[-1]["failure"]["retryable"]) == ("PROVIDER_UNAVAILABLE", False)
    assert "two words" not in str(events)
