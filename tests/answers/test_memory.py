"""What is not asked twice, and what is left out: the caches of answers and contexts, and the budget of a prompt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from answers.ground import Ground
from answers.prompt import HISTORY_MESSAGES
from core.settings import Settings
from datastores import redis_keys
from datastores.context_cache import ContextCache, Moment, Said, Turn
from datastores.models import MessageRole
from datastores.redis_circuit import RedisCircuit
from openai_server import Cut, Done, OpenAIServer, Say, Step, Usage
from owner import as_owner, until, uuid_of
from product import Person, Product, running_product
from wire import openai

if TYPE_CHECKING:
    from conftest import SettingsOn

VEXHOLM = b"The capital of Norlandia is Vexholm. It was founded in 1432 by Queen Astrid.\n"
QUESTION = "When was Vexholm founded?"
ANSWER: list[Step] = [Say("In 1432 "), Say("[1]."), Say(finish="stop"), Usage(120, 14), Done()]
REGENERATE = """mutation($id: ID!) { regenerateAnswer(input: {answerId: $id}) {
  ... on RegenerateAnswerPayload { answer { id } } } }"""
STOP = "mutation($id: ID!) { stopAnswer(input: {answerId: $id}) { __typename } }"
SELECT = "mutation($id: ID!) { selectAnswer(input: {answerId: $id}) { __typename } }"
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
    await remembered(person, conversation)
    # PostgreSQL says something else now: who asks it would notice.
    changed = "UPDATE messages SET text = 'Changed.' WHERE tenant_id = $1 AND answer_id IS NOT NULL"
    await as_owner(person.product.settings, changed, person.tenant_id)
    await person.ask("And by whom?", conversation)
    assert said(server) == [QUESTION, "In 1432 [1]."]
    await person.product.services.redis.delete(context_key(person, conversation))
    await person.ask("And where?", conversation)
    assert said(server)[:3] == [QUESTION, "Changed.", "And by whom?"]


@pytest.mark.parametrize("which", ["the last question's", "an earlier question's"])
async def test_what_was_remembered_before_another_answer_was_selected_is_of_no_use(
    server: OpenAIServer, person: Person, which: str
) -> None:
    """As it is where Redis was away at that moment, or answers with what it had some time ago."""
    conversation, redis = await person.conversation(), person.product.services.redis
    first = (await person.ask(QUESTION, conversation))[-1]["answer"]["id"]
    server.script = [Say("In 1433."), Say(finish="stop"), Usage(), Done()]
    second = (await person.query(REGENERATE, id=first))["regenerateAnswer"]["answer"]["id"]
    assert [event async for event in person.follow(second)][-1]["__typename"] == "AnswerCompleted"
    if which != "the last question's":
        await person.ask("And by whom?", conversation)
    before = await remembered(person, conversation, b"1433")
    await person.query(SELECT, id=first)
    await redis.set(context_key(person, conversation), before)
    # And nobody remembers it any further.
    for question in ("And where?", "And why?"):
        await person.ask(question, conversation)
        assert said(server)[:2] == [QUESTION, "In 1432 [1]."]


async def test_an_answer_that_ended_before_it_read_what_was_said_remembers_nothing(
    server: OpenAIServer, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = await person.conversation()
    await person.ask(QUESTION, conversation)
    await remembered(person, conversation)
    reading, read = asyncio.Event(), Ground._said_before

    async def held_up(ground: Ground) -> Said:
        reading.set()
        await asyncio.Event().wait()
        return await read(ground)

    with monkeypatch.context() as patch:
        patch.setattr(Ground, "_said_before", held_up)
        sent = await person.send(conversation, "And by whom?")
        await reading.wait()
        await person.query(STOP, id=sent["answer"]["id"])
        events = [event async for event in person.follow(sent["answer"]["id"])]
        assert events[-1]["__typename"] == "AnswerStopped"
    await person.ask("And where?", conversation)
    assert said(server) == [QUESTION, "In 1432 [1].", "And by whom?"]


async def test_a_context_is_that_of_its_moment(own: Product, person: Person) -> None:
    key = (person.tenant_id, uuid_of(await person.conversation()))
    contexts = ContextCache(own.services.redis, RedisCircuit(), ttl=60)
    said = Said([Turn(MessageRole.USER, "a"), Turn(MessageRole.ASSISTANT, "b")], earlier=4)
    await contexts.put(*key, Moment(3, 7, 5), said)
    assert await contexts.get(*key, Moment(3, 7, 5)) == said
    for other in (Moment(1, 7, 5), Moment(3, 8, 5), Moment(3, 7, 6), Moment(3, 7, None)):
        assert await contexts.get(*key, other) is None


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
    for kept, expected in ((True, 2), (False, 4), (True, 6)):
        if not kept:
            await person.product.services.redis.delete(context_key(person, conversation))
        told = await cut(f"And by whom, {expected}?")
        assert told == [f"{expected} earlier messages did not fit and were left out."]


def context_key(person: Person, conversation: str) -> str:
    """Where what was said is remembered."""
    return redis_keys.conversation_context(person.tenant_id, uuid_of(conversation))


async def remembered(person: Person, conversation: str, part: bytes = b"") -> bytes:
    """What is remembered, as soon as that is in it."""
    found: list[bytes] = []

    async def look() -> bool:
        kept = await person.product.services.redis.get(context_key(person, conversation))
        found[:] = [kept] if kept and part in kept else []
        return bool(found)

    await until(look)
    return found[0]


def said(server: OpenAIServer) -> list[str]:
    """What the model was last told of what went before."""
    return [message["content"] for message in server.asked[-1].body["messages"][1:-1]]
