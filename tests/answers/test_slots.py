"""How many answers of an organisation are written at once, and that no slot is lost however an answer ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from grpc import StatusCode

from core.settings import Settings
from datastores import redis_keys
from owner import as_owner, until, uuid_of
from product import SEND, Person, Product, running_product
from wire import Fail, GeminiServer, Say, Until, gemini, in_time, relayed

QUESTION = "When does the first ferry leave?"
ANSWER = (Say("At half past seven."), Say(finish="STOP", usage=(1, 1, 2)))
LIMITED = SEND.replace("... on InvalidInput", "... on RateLimited { retryAfterMs } ... on InvalidInput")


@pytest.fixture
async def made(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[GeminiServer, Settings]]:
    async with gemini(settings, tmp_path, chat_provider="gemini", rate_limit_concurrent_answers=1) as both:
        yield both


async def taken(product: Product, person: Person) -> int:
    """How many slots the person's organisation has taken."""
    return await product.services.redis.zcard(redis_keys.answer_slots(person.tenant_id))  # type: ignore[no-any-return]


async def all_back(product: Product, person: Person) -> None:
    """Wait until no slot is taken."""

    async def none() -> bool:
        return await taken(product, person) == 0

    await until(none)


async def stored(settings: Settings) -> list[tuple[Any, ...]]:
    """Whatever a question leaves behind."""
    return await as_owner(
        settings,
        "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM answers), max(title) FROM conversations",
    )


async def ended(person: Person, sent: dict[str, Any]) -> str:
    """How the answer ended."""
    return [event async for event in person.follow(sent["answer"]["id"])][-1]["__typename"]  # type: ignore[no-any-return]


async def test_a_question_too_many_is_refused_and_nothing_of_it_stored(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    wait = Until()
    server.script = [ANSWER[0], wait, ANSWER[1]]
    async with running_product(settings, worker=False) as product:
        person, stranger = await product.sign_up(), await product.sign_up()
        first, second = await person.conversation(), await person.conversation()
        sent = await person.send(first, QUESTION, idempotencyKey="one")
        await in_time(server.arrived.wait())
        before = await stored(settings)
        for conversation in (first, second):
            question = {"conversationId": conversation, "text": "And the second?", "idempotencyKey": "two"}
            async with product.http.post(
                f"{product.url}/graphql",
                json={"query": LIMITED, "variables": {"input": question}},
                headers={"authorization": f"Bearer {person.token}"},
            ) as response:
                result = (await response.json())["data"]["sendMessage"]
                assert (response.status, response.headers["retry-after"]) == (200, "1")
            assert (result["__typename"], result["code"], result["retryAfterMs"]) == (
                "RateLimited",
                "RATE_LIMITED",
                1_000,
            )
        assert await stored(settings) == before
        # What is there already is given again, what is not there is still not found, and others are not concerned.
        assert await person.send(first, QUESTION, idempotencyKey="one") == sent | {
            "answer": {"id": sent["answer"]["id"], "status": "STREAMING"}
        }
        assert (await person.send(await stranger.conversation(), QUESTION))["code"] == "NOT_FOUND"
        other = await stranger.send(await stranger.conversation(), QUESTION)
        assert await taken(product, person) == 1
        wait.event.set()
        assert [await ended(person, sent), await ended(stranger, other)] == ["AnswerCompleted"] * 2
        await all_back(product, person)
        assert await ended(person, await person.send(second, QUESTION)) == "AnswerCompleted"
        await all_back(product, person)


@pytest.mark.long
async def test_a_stored_question_waits_for_a_slot_and_gets_it_before_any_newcomer(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    wait = Until()
    server.script = [ANSWER[0], wait, ANSWER[1]]
    async with running_product(
        settings.model_copy(update={"rate_limit_concurrent_answers": 2}), worker=False
    ) as product:
        person = await product.sign_up()
        slots, tenant_id, elsewhere = product.services.slots, person.tenant_id, [uuid4(), uuid4()]
        conversation, other = await person.conversation(), await person.conversation()
        first, second = [await person.send(conversation, QUESTION) for _ in range(2)]
        await in_time(server.arrived.wait())
        for holder in elsewhere:
            await slots.renew(tenant_id, holder)
        wait.event.set()
        assert await ended(person, first) == "AnswerCompleted"

        async def waits() -> bool:
            return bool(await product.services.redis.zcard(redis_keys.answer_waits(tenant_id)))

        await until(waits)
        await slots.release(tenant_id, elsewhere[0])
        assert (await person.send(other, QUESTION))["code"] == "RATE_LIMITED"
        assert await ended(person, second) == "AnswerCompleted"
        await slots.release(tenant_id, elsewhere[1])
        await all_back(product, person)


async def test_a_failed_answer_gives_its_slot_back(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    server.script = [Fail(StatusCode.RESOURCE_EXHAUSTED)]
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        assert await ended(person, await person.send(await person.conversation(), QUESTION)) == "AnswerFailed"
        await all_back(product, person)


@pytest.mark.long
async def test_an_answer_that_a_process_gave_up_has_a_slot_in_the_next(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    server.script = [Until()]
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        sent = await person.send(await person.conversation(), QUESTION)
        await in_time(server.arrived.wait())
    server.script = list(ANSWER)
    async with running_product(settings, worker=False, flush=False) as product:
        person = Person(product, person.token, person.email, person.user_id)
        assert await ended(person, sent) == "AnswerCompleted"
        await all_back(product, person)


async def test_who_comes_too_late_leaves_the_slot_to_the_one_that_writes(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    wait = Until()
    server.script = [ANSWER[0], wait, ANSWER[1]]
    async with (
        running_product(settings, worker=False) as product,
        running_product(settings, worker=False, flush=False) as other,
    ):
        person = await product.sign_up()
        sent = await person.send(await person.conversation(), QUESTION)
        await in_time(server.arrived.wait())
        tenant_id, answer_id = person.tenant_id, uuid_of(sent["answer"]["id"])
        assert await other.services.slots.acquire(tenant_id, answer_id) is None
        other.services.supervisor.produce(tenant_id, answer_id)
        await other.services.supervisor.idle()
        assert await taken(product, person) == 1
        assert not other.services.slots.holds(answer_id)
        wait.event.set()
        assert await ended(person, sent) == "AnswerCompleted"
        await all_back(product, person)


@pytest.mark.timeout(40)
async def test_without_redis_a_process_counts_its_own(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    wait = Until()
    server.script = [ANSWER[0], wait, ANSWER[1]]
    assert settings.redis_url is not None
    async with (
        relayed(settings.redis_url) as (url, relay),
        running_product(settings.model_copy(update={"redis_url": url}), worker=False) as product,
    ):
        person = await product.sign_up()
        conversation = await person.conversation()
        await relay.close()
        assert (await person.send(conversation, QUESTION))["__typename"] == "SendMessagePayload"
        await in_time(server.arrived.wait())
        assert (await person.send(conversation, QUESTION))["code"] == "RATE_LIMITED"
        wait.event.set()

        async def completed() -> bool:
            return await as_owner(settings, "SELECT 1 FROM answers WHERE status = 'COMPLETED'") != []

        await until(completed)
        await product.services.supervisor.idle()
        assert (await person.send(conversation, QUESTION))["__typename"] == "SendMessagePayload"
        await product.services.supervisor.idle()
        await relay.listen_again()
