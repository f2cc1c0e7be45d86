"""When events are rendered, when they are executed, and what holds either way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import aiohttp
import pytest
from strawberry.extensions import SchemaExtension

from datastores import redis_keys
from datastores.answer_events import AnswerStepKind, Completed, Delta, Started, Step
from held_answer import WATCH, HeldAnswer, hold_answer, watching, without_outlets
from owner import as_owner, until
from product import Product
from resolvers.following.silence import SILENCE_SECONDS
from schema.execution import Executor, OperationScope, _looks_at_results
from schema.operation_log import OperationLog

WITH_RELATION = """subscription($id: ID!) { answer(id: $id) { __typename ... on AnswerDelta { text }
  ... on AnswerCompleted { answer { status } } } }"""


@pytest.fixture
async def answer(product: Product) -> HeldAnswer:
    """Of a new person; it has begun."""
    held = await hold_answer(await product.sign_up())
    await held.begin(Started(held.key[1], 1))
    return held


@contextmanager
def executions() -> Iterator[list[Executor]]:
    """The executors of subscriptions that begin inside the block, once for each event that graphql-core executes."""
    seen: list[Executor] = []
    original = Executor.build_per_event_executor

    def noted(self: Executor, payload: Any) -> Any:
        seen.append(self)
        return original(self, payload)

    Executor.build_per_event_executor = noted  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Executor.build_per_event_executor = original  # type: ignore[method-assign]


async def tell(answer: HeldAnswer, texts: int) -> None:
    """So many deltas, one by one, and the end."""
    for number in range(texts):
        await answer.append(Delta(f"{number} "))
    await answer.finish()
    await answer.append(Completed(answer.key[1]))


async def test_nothing_is_executed_for_a_selection_that_can_be_rendered(answer: HeldAnswer) -> None:
    async with watching(answer.person) as watcher:
        with executions() as executed:
            await watcher.subscribe("1", WATCH, {"id": answer.id})
            await watcher.until(1)
            await tell(answer, 5)
            await watcher.until(8)
    assert executed == []
    assert [event["__typename"] for event in watcher.events("1")][-2:] == ["AnswerDelta", "AnswerCompleted"]


async def test_the_one_event_that_needs_the_database_is_executed_in_its_turn(answer: HeldAnswer) -> None:
    async with watching(answer.person) as watcher:
        with executions() as executed:
            await watcher.subscribe("1", WITH_RELATION, {"id": answer.id})
            await watcher.until(1)
            await tell(answer, 5)
            await watcher.until(8)
    assert len(executed) == 1
    assert watcher.events("1")[-1]["answer"] == {"status": "COMPLETED"}
    assert "".join(event.get("text", "") for event in watcher.events("1")) == "0 1 2 3 4 "


async def test_selections_of_one_shape_share_an_encoding_however_they_are_written(answer: HeldAnswer) -> None:
    same = [
        "subscription($id: ID!) { answer(id: $id) { ... on AnswerDelta { text cursor } } }",
        "subscription Watch($id: ID!) { answer(id: $id) { ...F } } fragment F on AnswerDelta { text ...G }"
        " fragment G on StreamEvent { cursor }",
        "subscription($id: ID!) { answer(id: $id) { ... on AnswerDelta { text sequence @skip(if: true) cursor } } }",
    ]
    other = "subscription($id: ID!) { answer(id: $id) { ... on AnswerDelta { cursor text } } }"
    async with watching(answer.person) as one, watching(answer.person) as two:
        for watcher in (one, two):
            for number, query in enumerate(same):
                await watcher.subscribe(str(number), query, {"id": answer.id})
        await one.subscribe("other", other, {"id": answer.id})
        for watcher in (one, two):
            await watcher.until(1)
        assert sorted(answer.shared) == [1, 2 * len(same)]


async def test_one_document_with_two_values_of_a_condition_has_two_shapes(answer: HeldAnswer) -> None:
    query = (
        "subscription($id: ID!, $c: Boolean!) { answer(id: $id) { ... on StreamEvent { cursor @include(if: $c) } } }"
    )
    async with watching(answer.person) as watcher:
        for number in range(4):
            await watcher.subscribe(str(number), query, {"id": answer.id, "c": number == 0})
        await watcher.until(1)
        assert sorted(answer.shared) == [1, 3]


async def test_a_report_of_the_cost_is_in_every_event_and_so_each_is_executed(answer: HeldAnswer) -> None:
    async with watching(answer.person) as watcher:
        await watcher.subscribe("1", WATCH, {"id": answer.id}, extensions={"cost": True})
        await watcher.until(1)
        assert answer.shared == []
        await answer.append(Delta("a"))
        while len(watcher.frames["1"]) < 2:
            message = await watcher.receive()
            assert message["payload"]["extensions"]["cost"]["requested"] > 0


async def test_a_connection_that_takes_nothing_rendered_has_everything_executed(
    product: Product, answer: HeldAnswer
) -> None:
    async with without_outlets(product) as url, watching(answer.person, url) as watcher:
        with executions() as executed:
            await watcher.subscribe("1", WATCH, {"id": answer.id})
            await watcher.until(1)
            assert answer.shared == []
            await tell(answer, 5)
            await watcher.until(8)
    assert len(executed) == 7


async def test_an_execution_leaves_nothing_behind_in_its_subscription(product: Product, answer: HeldAnswer) -> None:
    """graphql-core 3.3.2 keeps what it has collected for an event as long as the subscription lasts."""
    async with without_outlets(product) as url, watching(answer.person, url) as watcher:
        await watcher.subscribe("1", WATCH, {"id": answer.id})
        with executions() as executed:
            await watcher.until(1)
            for count in range(10):
                await answer.append(Delta("a"))
                await watcher.until(count + 2)
            (subscription,) = set(executed)
            assert len(executed) == 11
            assert subscription._relevant_sub_fields == {}


class _OnStreamResult(SchemaExtension):
    async def on_stream_result(self, result: Any) -> AsyncIterator[None]:
        yield


class _GetResults(SchemaExtension):
    def get_results(self) -> dict[str, Any]:
        return {}


class _Resolve(SchemaExtension):
    def resolve(self, _next: Any, root: Any, info: Any, *args: str, **kwargs: Any) -> Any:
        return _next(root, info, *args, **kwargs)


def test_an_extension_that_looks_at_results_or_fields_is_not_passed_by() -> None:
    assert not _looks_at_results(OperationLog)
    assert not _looks_at_results(OperationScope)
    for extension in (_OnStreamResult, _GetResults, _Resolve, lambda: _Resolve()):
        assert _looks_at_results(extension)


async def test_rubbish_on_the_channel_disturbs_nobody(answer: HeldAnswer) -> None:
    other = await hold_answer(answer.person)
    await other.begin(Started(other.key[1], 1))
    async with watching(answer.person) as watcher:
        for held in (answer, other):
            await watcher.subscribe(held.id, WATCH, {"id": held.id})
        await watcher.until(1)
        redis = answer.person.product.services.redis
        for rubbish in (b"{", b"[]", b"5", b"{}", b'{"g":"a","s":1,"t":"Nothing"}', b'{"g":"a","s":1,"t":"Delta"}'):
            await redis.publish(redis_keys.answer_live(*answer.key), rubbish)
        for held in (answer, other):
            await held.append(Delta("a"))
        async with asyncio.timeout(SILENCE_SECONDS - 2):
            # By the channel, and not because of the silence on it.
            await watcher.until(2)
    assert watcher.events(answer.id)[-1]["text"] == watcher.events(other.id)[-1]["text"] == "a"


async def test_a_suspended_person_is_sent_nothing_more(answer: HeldAnswer) -> None:
    person = answer.person
    async with watching(person) as watcher:
        await watcher.subscribe("1", WATCH, {"id": answer.id})
        await watcher.until(1)
        assert answer.shared == [1]
        await as_owner(person.product.settings, "UPDATE users SET suspended_at = now() WHERE email = $1", person.email)
        await person.product.services.standings.changed(person.tenant_id, [person.session_id])
        async with asyncio.timeout(2):
            message = await watcher.receive()
        assert message["type"] == "error"
        assert answer.shared == []
        await answer.append(Delta("a secret"))
        closing = await watcher.socket.receive()
        assert (closing.type, watcher.socket.close_code) == (aiohttp.WSMsgType.CLOSE, 4403)


_scope: ContextVar[str] = ContextVar("scope", default="")


@pytest.fixture
def scopes(product: Product) -> Iterator[list[str]]:
    """How operations have ended that set a context variable when they began; an end in another context fails."""
    ended: list[str] = []

    class Scoped(SchemaExtension):
        async def on_operation(self) -> AsyncIterator[None]:
            token = _scope.set("operation")
            try:
                yield
            finally:
                try:
                    _scope.reset(token)
                    ended.append("well")
                except ValueError as error:
                    ended.append(str(error))

    assert product.app is not None
    schema = product.app.state.graphql.schema
    extensions = schema.extensions
    schema.extensions = (*extensions, Scoped)
    yield ended
    schema.extensions = extensions


@pytest.mark.parametrize("way", ["terminal event", "complete", "socket"])
async def test_an_operation_ends_in_the_context_it_began_in(answer: HeldAnswer, scopes: list[str], way: str) -> None:
    async with watching(answer.person) as watcher:
        await watcher.subscribe("1", WATCH, {"id": answer.id})
        await watcher.until(1)
        assert answer.shared == [1]
        scopes.clear()
        if way == "terminal event":
            await tell(answer, 1)
            await watcher.until(4)
        elif way == "complete":
            await watcher.socket.send_json({"id": "1", "type": "complete"})
        if way != "socket":
            await watcher.socket.send_json({"type": "ping"})
            assert (await watcher.socket.receive_json())["type"] == "pong"

    async def has_ended() -> bool:
        return bool(scopes)

    await until(has_ended)
    assert scopes == ["well"]


async def test_an_id_that_is_taken_again_belongs_to_the_new_operation_alone(answer: HeldAnswer) -> None:
    query = "subscription($id: ID!) { %s: answer(id: $id) { __typename ... on AnswerStep { step } } }"
    async with watching(answer.person) as watcher:
        await watcher.subscribe("1", query % "old", {"id": answer.id})
        await watcher.until(1)
        await watcher.socket.send_json({"id": "1", "type": "complete"})
        await watcher.subscribe("1", query % "new", {"id": answer.id})
        await watcher.until(1)
        await answer.append(Step(AnswerStepKind.READING))
        await watcher.until(2)
        assert answer.shared == [1]
        assert all('"new"' in frame for frame in watcher.frames["1"])
