"""What an answer cost, as it is stored and as its person reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from core.settings import Settings
from openai_server import Cut, Done, OpenAIServer, Refuse, Say, Step, Until, Usage
from owner import as_owner
from product import Person, Product, running_product
from wire import in_time, openai

if TYPE_CHECKING:
    from conftest import SettingsOn

PRICES = """
[[price]]
provider = "openai"
model = "gpt-4.1-mini"
since = 2026-01-01
input = 0.40
output = 1.60
"""
VEXHOLM = b"The capital of Norlandia is Vexholm. It was founded in 1432 by Queen Astrid.\n"
QUESTION = "When was Vexholm founded?"
ANSWER: list[Step] = [Say("In 1432 "), Say("[1]."), Say(finish="stop"), Usage(120, 14), Done()]
COST = "0.000070400"
USAGE = "query($id: ID!) { node(id: $id) { ... on Answer { usage { inputTokens outputTokens cost cached } } } }"


@pytest.fixture(scope="module")
def lasting(settings_on: SettingsOn, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("lasting")
    with settings_on(template, folder) as settings:
        prices = folder / "prices.toml"
        prices.write_text(PRICES)
        yield settings.model_copy(update={"model_prices": prices, "cache_ttl_llm_responses": 60})


@pytest.fixture(scope="module")
async def made(lasting: Settings) -> AsyncIterator[tuple[OpenAIServer, Settings]]:
    async with openai(lasting, fallback_chat_provider="local") as both:
        yield both


@pytest.fixture(scope="module")
async def own(made: tuple[OpenAIServer, Settings]) -> AsyncIterator[Product]:
    async with running_product(made[1]) as running:
        yield running


@pytest.fixture
async def person(own: Product) -> Person:
    """Somebody in an organisation of their own, with a document to ask about."""
    person = await own.sign_up()
    await person.ready_document(VEXHOLM)
    return person


@pytest.fixture
def server(made: tuple[OpenAIServer, Settings]) -> OpenAIServer:
    made[0].renew()
    made[0].script = list(ANSWER)
    return made[0]


async def usage(person: Person, events: list[dict[str, Any]]) -> dict[str, Any]:
    return (await person.query(USAGE, id=events[-1]["answer"]["id"]))["node"]["usage"]  # type: ignore[no-any-return]


async def stored(person: Person) -> list[tuple[Any, ...]]:
    """The costs of the answer and of its attempts, in order."""
    return await as_owner(
        person.product.settings,
        "SELECT t.provider, t.cost, a.cost FROM answer_attempts t JOIN answers a "
        "ON a.tenant_id = t.tenant_id AND a.id = t.answer_id WHERE t.tenant_id = $1 ORDER BY a.id, t.epoch, t.ordinal",
        person.tenant_id,
    )


async def test_an_answer_costs_its_tokens_and_the_same_again_costs_nothing(
    server: OpenAIServer, person: Person
) -> None:
    first = await in_time(person.ask(QUESTION))
    second = await in_time(person.ask(QUESTION))
    assert len(server.asked) == 1
    counts = {"inputTokens": 120, "outputTokens": 14}
    assert await usage(person, first) == {**counts, "cost": COST, "cached": False}
    assert await usage(person, second) == {**counts, "cost": "0.000000000", "cached": True}
    costs = [("openai", Decimal(COST), Decimal(COST)), ("openai", Decimal(0), Decimal(0))]
    assert await stored(person) == costs


async def test_an_unknown_model_costs_nobody_knows_what_and_not_nothing(server: OpenAIServer, person: Person) -> None:
    statement = "UPDATE assistants SET provider = 'openai', model = 'gpt-99' WHERE tenant_id = $1"
    await as_owner(person.product.settings, statement, person.tenant_id)
    found = await usage(person, await in_time(person.ask(QUESTION)))
    assert found == {"inputTokens": 120, "outputTokens": 14, "cost": None, "cached": False}
    assert await stored(person) == [("openai", None, None)]


async def test_a_model_that_does_not_count_has_no_cost(server: OpenAIServer, person: Person) -> None:
    server.script = [Say("In 1432."), Say(finish="stop"), Done()]
    assert await usage(person, await in_time(person.ask(QUESTION))) is None
    assert await stored(person) == [("openai", None, None)]


async def test_a_fallback_is_paid_at_its_own_price(server: OpenAIServer, person: Person) -> None:
    server.script = [Refuse(401)]
    found = await usage(person, await in_time(person.ask(QUESTION)))
    assert found["cost"] == "0.000000000"
    assert found["inputTokens"] > 0
    # The key was refused: nothing is known of what that cost.
    assert await stored(person) == [("openai", None, Decimal(0)), ("local", Decimal(0), Decimal(0))]


@pytest.mark.parametrize("how", ["stopped", "broken off"])
async def test_what_was_said_before_an_end_costs_what_it_is_estimated_at(
    server: OpenAIServer, person: Person, how: str
) -> None:
    server.script = [Say("In 14"), Cut() if how == "broken off" else Until()]
    sent = await person.send(await person.conversation(), QUESTION)
    stop = "mutation($id: ID!) { stopAnswer(input: {answerId: $id}) { __typename } }"
    events = []
    async for event in person.follow(sent["answer"]["id"]):
        events.append(event)
        if event["__typename"] == "AnswerDelta" and how == "stopped":
            await person.query(stop, id=sent["answer"]["id"])
    found = (await person.query(USAGE, id=sent["answer"]["id"]))["node"]["usage"]
    tokens = Decimal(found["inputTokens"]) * Decimal("0.4") + Decimal(found["outputTokens"]) * Decimal("1.6")
    assert found["inputTokens"] > 100
    assert Decimal(found["cost"]) == tokens / 1_000_000
    assert [row[1] for row in await stored(person)] == [Decimal(found["cost"])]
