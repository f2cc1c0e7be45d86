"""Rights that end while something is under way on an open connection: queries and subscriptions end at once, a mutation
goes to its end, and whoever sent it is told what became of it or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import aiohttp
import asyncpg
import pytest
from test_socket_rights import CONVERSATION, SIGN_OUT, WITHIN, subscribe

from app import sockets
from core.settings import Settings
from owner import as_owner, set_role, until, uuid_of
from product import PASSWORD, PROGRESS, SEND, Person, Product, running_product
from resolvers import acting
from streams import MULTIPART, SSE, pieces, streamed

_WAITING = """SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE datname = current_database() AND NOT granted"""
KEY = """mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) {
  ... on CreateApiKeyPayload { secret apiKey { id } } } }"""
REVOKE_KEY = "mutation($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) { __typename } }"
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) {
  ... on SignInPayload { session { accessToken } } ... on UserError { code } } }"""


@pytest.fixture
async def idle(settings: Settings) -> AsyncIterator[Product]:
    """A product whose documents stay QUEUED, so that following one goes on for ever."""
    async with running_product(settings, worker=False) as product:
        yield product


@asynccontextmanager
async def held(product: Product, conversation: str) -> AsyncIterator[None]:
    """Whoever writes in the conversation waits for the end."""
    connection = await asyncpg.connect(product.settings.database_owner_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM conversations WHERE id = $1 FOR UPDATE", uuid_of(conversation))
            yield
    finally:
        await connection.close()


async def somebody_waits(product: Product) -> None:
    """Return when a statement waits for a lock."""

    async def waits() -> bool:
        return await as_owner(product.settings, _WAITING) != [(0,)]

    await until(waits)


async def asks(socket: aiohttp.ClientWebSocketResponse, product: Product, conversation: str) -> None:
    """Send a question, as the operation `m`, which waits for its conversation."""
    await subscribe(socket, "m", SEND, {"input": {"conversationId": conversation, "text": "And now?"}})
    await somebody_waits(product)


async def suspend(person: Person) -> None:
    """As `updateMember` would."""
    await as_owner(person.product.settings, "UPDATE users SET suspended_at = now() WHERE email = $1", person.email)
    await person.product.services.standings.changed(person.tenant_id, [person.session_id])


async def questions(settings: Settings) -> int:
    """That are stored, each with its answer, whatever becomes of that."""
    ((count,),) = await as_owner(settings, "SELECT count(*) FROM answers")
    return count  # type: ignore[no-any-return]


async def denied(product: Product, action: str) -> list[tuple[Any, ...]]:
    """The entries of that action."""
    return await as_owner(product.settings, "SELECT outcome, code FROM audit_log WHERE action = $1", action)


async def test_a_mutation_that_waits_keeps_nothing_else_of_the_socket_alive(idle: Product) -> None:
    person = await idle.sign_up()
    busy, other = await person.conversation(), await person.conversation()
    async with idle.socket(person.token) as socket, held(idle, busy):
        await asks(socket, idle, busy)
        await subscribe(socket, "s", CONVERSATION, {"id": other})
        assert (await socket.receive_json())["id"] == "s"
        await suspend(person)
        async with asyncio.timeout(WITHIN):
            frame = await socket.receive_json()
            assert (frame["id"], frame["type"]) == ("s", "error")
            assert frame["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"
            closing = await socket.receive()
        assert closing.type is aiohttp.WSMsgType.CLOSE, "the mutation is told nothing"
        assert socket.close_code == 4403
        assert await denied(idle, "sendMessage") == []

    async def written() -> bool:
        return await denied(idle, "sendMessage") == [("DENIED", "UNAUTHENTICATED")]

    async with asyncio.timeout(5):
        await until(written)
    assert await questions(idle.settings) == 0
    assert await denied(idle, "conversation") == [("DENIED", "UNAUTHENTICATED")]


async def test_a_mutation_that_ends_in_time_is_told_its_result_and_nothing_new_begins(
    idle: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "SURE_SECONDS", 60.0)  # it was looked at just before, for all that is known
    monkeypatch.setattr(sockets, "LEFT_SECONDS", 10.0)
    person = await idle.sign_up()
    busy, other = await person.conversation(), await person.conversation()
    async with idle.socket(person.token) as socket:
        async with held(idle, busy):
            await asks(socket, idle, busy)
            await subscribe(socket, "s", CONVERSATION, {"id": other})
            assert (await socket.receive_json())["id"] == "s"
            await suspend(person)
            assert (await socket.receive_json())["id"] == "s"
            await subscribe(socket, "new", CONVERSATION, {"id": other})
            refused = await socket.receive_json()
            assert (refused["id"], refused["type"]) == ("new", "error")
            assert refused["payload"][0]["message"] == "This account is suspended."
        result = await socket.receive_json()
        assert result["payload"]["data"]["sendMessage"]["__typename"] == "SendMessagePayload"
        assert await socket.receive_json() == {"id": "m", "type": "complete"}
        await socket.receive()
        assert socket.close_code == 4403
    assert await questions(idle.settings) == 1
    assert await denied(idle, "connect") == [("DENIED", "UNAUTHENTICATED")]


async def test_a_weaker_role_ends_no_mutation(idle: Product) -> None:
    person = await idle.sign_up()
    conversation = await person.conversation()
    document = (await person.upload(b"A text that is long enough to be read."))["document"]["id"]
    async with idle.socket(person.token) as socket:
        async with held(idle, conversation):
            await asks(socket, idle, conversation)
            await subscribe(socket, "1", PROGRESS, {"id": document})
            assert (await socket.receive_json())["id"] == "1"
            await set_role(person, "OPERATOR")
            ended = await socket.receive_json()
            assert (ended["id"], ended["payload"][0]["extensions"]["code"]) == ("1", "FORBIDDEN")
        result = await socket.receive_json()
        assert result["payload"]["data"]["sendMessage"]["__typename"] == "SendMessagePayload"
        assert await socket.receive_json() == {"id": "m", "type": "complete"}

    async def written() -> bool:
        return await denied(idle, "documentProgress") == [("DENIED", "FORBIDDEN")]

    async with asyncio.timeout(5):
        await until(written)


@pytest.mark.parametrize("accept", [SSE, MULTIPART], ids=["sse", "multipart"])
async def test_a_subscription_that_is_ended_in_a_stream_is_an_entry(idle: Product, accept: str) -> None:
    person = await idle.sign_up()
    document = (await person.upload(b"A text that is long enough to be read."))["document"]["id"]
    query = "subscription($id: ID!) { ...P } fragment P on Subscription { documentProgress(id: $id) { status } }"
    async with streamed(person, accept, query, {"id": document}) as response, asyncio.timeout(5):
        reading = aiter(pieces(response))
        while (await anext(reading)).kind != "next":
            pass
        await set_role(person, "USER")
        said = [piece async for piece in reading if piece.kind != "heartbeat"]
    assert said[0].body["errors"][0]["extensions"]["code"] == "FORBIDDEN"

    async def written() -> bool:
        return await denied(idle, "documentProgress") == [("DENIED", "FORBIDDEN")]

    async with asyncio.timeout(5):
        await until(written)


async def test_a_mutation_over_sse_is_told_its_result_whatever_became_of_the_role(idle: Product) -> None:
    person = await idle.sign_up()
    conversation = await person.conversation()
    variables = {"input": {"conversationId": conversation, "text": "And now?"}}

    async def send() -> Any:
        async with streamed(person, SSE, SEND, variables) as response:
            return [piece async for piece in pieces(response) if piece.kind != "heartbeat"]

    document = (await person.upload(b"A text that is long enough to be read."))["document"]["id"]
    async with held(idle, conversation), streamed(person, SSE, PROGRESS, {"id": document}) as response:
        reading = aiter(pieces(response))
        while (await anext(reading)).kind != "next":
            pass
        sending = asyncio.create_task(send())
        await somebody_waits(idle)
        await set_role(person, "OPERATOR")
        # Whoever looks at the role has seen it when this one is ended for it.
        while (await anext(reading)).kind != "next":
            pass
    result, end = await sending
    assert (result.event["__typename"], end.kind) == ("SendMessagePayload", "complete")


async def test_who_signs_in_over_sse_with_a_token_that_has_ended_is_told_the_new_one(idle: Product) -> None:
    person = await idle.sign_up()
    await person.query(SIGN_OUT)
    values = {"input": {"email": person.email, "password": PASSWORD}}
    for _ in range(5):
        async with streamed(person, SSE, SIGN_IN, values) as response:
            result, end = [piece async for piece in pieces(response) if piece.kind != "heartbeat"]
        assert result.event["session"]["accessToken"]
        assert end.kind == "complete"


async def test_a_process_that_ends_waits_for_a_mutation_of_which_nothing_more_is_said(settings: Settings) -> None:
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        conversation = await person.conversation()
        async with held(product, conversation):
            async with product.socket(person.token) as socket:
                await asks(socket, product, conversation)
                await socket.send_json({"id": "m", "type": "complete"})
                await socket.send_json({"type": "ping"})
                assert (await socket.receive_json())["type"] == "pong"
            assert product.server is not None
            product.server.should_exit = True
            # As long as the lifespan goes on the pools are open.
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await product.server.lifespan.shutdown_event.wait()
            assert not product.server.lifespan.shutdown_event.is_set()
    assert await questions(settings) == 1


@pytest.mark.parametrize("ended", ["session", "key"])
async def test_a_token_that_has_ended_takes_no_place_of_those_whose_it_was(settings: Settings, ended: str) -> None:
    strict = settings.model_copy(update={"sockets_per_person": 1})
    async with running_product(strict, worker=False) as product:
        person = await product.sign_up()
        good = old = person
        if ended == "key":
            keys = [(await person.query(KEY, input={"name": "x", "role": "BUSINESS"}))["createApiKey"] for _ in "ab"]
            good, old = (replace(person, token=key["secret"]) for key in keys)
            await person.query(REVOKE_KEY, input={"apiKeyId": keys[1]["apiKey"]["id"]})
        else:
            values = {"input": {"email": person.email, "password": PASSWORD}}
            session = (await product.post(SIGN_IN, values))["data"]["signIn"]["session"]
            good = replace(person, token=session["accessToken"])
            await old.query(SIGN_OUT)
        conversation = {"id": await person.conversation() if ended == "key" else await good.conversation()}
        async with streamed(good, SSE, CONVERSATION, conversation) as own:
            assert own.status == 200
            async with streamed(good, SSE, CONVERSATION, conversation) as second:
                assert second.status == 429, "the one place is taken"
            async with streamed(old, SSE, CONVERSATION, conversation) as response:
                assert response.status == 200
                said = [piece async for piece in pieces(response) if piece.kind != "heartbeat"]
        assert said[0].body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
