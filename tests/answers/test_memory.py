"""What is not asked twice, and what is left out: the caches of answers and contexts, and the budget of a prompt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from answers.prompt import HISTORY_MESSAGES
from core.settings import Settings
from datastores import redis_keys
from datastores.context_cache import Said, Turn
from datastores.models import MessageRole
from openai_server import Cut, Done, OpenAIServer, Say, Step, Usage
from owner import as_owner, until, uuid_of
from product import Person, Product, running_product
from wire import openai

if TYPE_CHECKING:
    from conftest import SettingsOn

VEXHOLM = b"The capital of Norlandia is Vexholm. It was founded in 1432 by Queen Astrid.\n"
QUESTION = "When was Vexholm founded?"
ANSWER: list[Step] = [Say("In 1432 "), Say("[1]."), Say(finish="stop"), Usage(120, 14), Done()]
USAGE = "query($id: ID!) { node(id: $id) { ... on Answer { usage { inputTokens outputTokens cached } } } }"


@pytest.fixture(scope="module")
def lasting(settings_on: SettingsOn, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with settings_on(template, tmp_path_factory.mktemp("lasting")) as settings:
        yield settings.model_copy(update={"cache_ttl_llm_responses": 60})


@pytest.fixture(scope="module")
async def made(lasting: Settings) -> AsyncIterator[tuple[OpenAIServer, Settings]]:
    async with openai(lasting) as both:
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


async def change(person: Person, **columns: Any) -> None:
    """Set the organisation's assistant."""
    for name, value in columns.items():
        statement = f"UPDATE assistants SET {name} = $2 WHERE tenant_id = $1"
        await as_owner(person.product.settings, statement, person.tenant_id, value)


async def usage(person: Person, events: list[dict[str, Any]]) -> dict[str, Any]:
    node = (await person.query(USAGE, id=events[-1]["answer"]["id"]))["node"]
    return node["usage"]  # type: ignore[no-any-return]


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event.get("text", "") for event in events)


@pytest.mark.long
async def test_the_same_prompt_is_asked_once_and_answered_twice(server: OpenAIServer, person: Person) -> None:
    first = await person.ask(QUESTION)
    second = await person.ask(QUESTION)
    assert len(server.asked) == 1
    assert text_of(first) == text_of(second) == "In 1432 [1]."
    assert [event["answer"]["citations"] for event in (first[-1], second[-1])] == [first[-1]["answer"]["citations"]] * 2
    assert await usage(person, first) == {"inputTokens": 120, "outputTokens": 14, "cached": False}
    assert await usage(person, second) == {"inputTokens": 120, "outputTokens": 14, "cached": True}
    # Another question, another context, another organisation: all of it is asked.
    await person.ask("And who founded it?")
    await person.ready_document(b"Vexholm was founded in 1433, say others.", "others.txt")
    await person.ask(QUESTION)
    stranger = await person.product.sign_up()
    await stranger.ready_document(VEXHOLM)
    await stranger.ask(QUESTION)
    assert len(server.asked) == 4


async def test_an_assistant_may_ask_every_time(server: OpenAIServer, person: Person) -> None:
    await change(person, cache_answers=False)
    await person.ask(QUESTION)
    await person.ask(QUESTION)
    assert len(server.asked) == 2
    # Nor was anything remembered.
    await change(person, cache_answers=True)
    await person.ask(QUESTION)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "script",
    [[Say("In 14"), Cut()], [Say("In 1432"), Say(finish="length"), Usage(), Done()]],
    ids=["broken off", "cut at its length"],
)
async def test_what_is_not_whole_is_not_remembered(server: OpenAIServer, person: Person, script: list[Step]) -> None:
    server.scripts = [script]
    await person.ask(QUESTION)
    again = await person.ask(QUESTION)
    assert text_of(again) == "In 1432 [1]."
    assert (await usage(person, again))["cached"] is False


async def test_what_was_said_is_at_hand_for_the_next_question(server: OpenAIServer, person: Person) -> None:
    conversation = await person.conversation()
    await person.ask(QUESTION, conversation)

    async def remembered() -> bool:
        key = (person.tenant_id, uuid_of(conversation))
        return await person.product.services.contexts.get(*key, 1) is not None

    await until(remembered)
    # PostgreSQL says something else now: who asks it would notice.
    changed = "UPDATE messages SET text = 'Changed.' WHERE tenant_id = $1 AND answer_id IS NOT NULL"
    await as_owner(person.product.settings, changed, person.tenant_id)
    await person.ask("And by whom?", conversation)
    assert said(server) == [QUESTION, "In 1432 [1]."]
    await person.product.services.contexts.forget(person.tenant_id, uuid_of(conversation))
    await person.ask("And where?", conversation)
    assert said(server)[:3] == [QUESTION, "Changed.", "And by whom?"]
    # While a change is fresh nothing is remembered: the last question read PostgreSQL, and the next does, too.
    await person.ask("And why?", conversation)
    assert said(server)[1] == "Changed."


async def test_a_context_is_that_of_its_place(own: Product, person: Person) -> None:
    contexts, key = own.services.contexts, (person.tenant_id, uuid_of(await person.conversation()))
    said = Said([Turn(MessageRole.USER, "a"), Turn(MessageRole.ASSISTANT, "b")], earlier=4)
    await contexts.put(*key, 3, said)
    assert await contexts.get(*key, 3) == said
    for through in (None, 1, 5):
        assert await contexts.get(*key, through) is None


async def test_what_does_not_fit_is_left_out_and_said(server: OpenAIServer, person: Person) -> None:
    conversation = await person.conversation()
    server.script = [Say("word " * 300 + "[1]."), Say(finish="stop"), Usage(), Done()]
    await person.ask(QUESTION, conversation)
    await change(person, context_tokens=700)
    events = await person.ask("And by whom?", conversation)
    cut = [event["detail"] for event in events if event.get("step") == "CONTEXT_CUT"]
    assert cut == ["2 earlier messages did not fit and were left out."]
    assert events[-1]["__typename"] == "AnswerCompleted"
    assert said(server) == []
    failed = (await person.ask("word " * 1_900, conversation))[-1]
    assert (failed["__typename"], failed["failure"]["code"]) == ("AnswerFailed", "CONTEXT_TOO_LONG")
    assert failed["failure"]["retryable"] is False


async def test_messages_before_the_last_twenty_are_left_out_and_told_of(server: OpenAIServer, person: Person) -> None:
    conversation = await person.conversation()

    async def cut(question: str) -> list[str]:
        events = await person.ask(question, conversation)
        assert len(said(server)) <= HISTORY_MESSAGES
        return [event["detail"] for event in events if event.get("step") == "CONTEXT_CUT"]

    for number in range(HISTORY_MESSAGES // 2 + 1):
        # With twenty messages before it, the last of these knows all of them.
        assert await cut(f"When was Vexholm founded, {number}?") == []
    # From what is remembered, then from PostgreSQL: they count alike.
    key = (person.tenant_id, uuid_of(conversation))
    for remembered, expected in ((True, 2), (False, 4), (True, 6)):
        if not remembered:
            await person.product.services.contexts.forget(*key)
            await person.product.services.redis.delete(redis_keys.conversation_context(*key))
        told = await cut(f"And by whom, {expected}?")
        assert told == [f"{expected} earlier messages did not fit and were left out."]


def said(server: OpenAIServer) -> list[str]:
    """What the model was last told of what went before."""
    return [message["content"] for message in server.asked[-1].body["messages"][1:-1]]
