"""Open sockets: what a person may no longer do ends within two seconds, with the reason."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from core.ids import new_id
from core.settings import Settings
from owner import as_owner, set_role, short_lived
from product import PROGRESS, Person, Product, running_product
from redis_faults import cut_live_channels
from wire import Say, Until, gemini

WITHIN = 2.0
BRIEF = 4
SIGN_OUT = "mutation { signOut { signedOut } }"
CONVERSATION = "subscription($id: ID!) { conversation(id: $id) { __typename } }"
VIEWER = "{ viewer { user { email } } }"


@pytest.fixture
async def idle(settings: Settings) -> AsyncIterator[Product]:
    """A product whose documents stay QUEUED, so that following one goes on for ever."""
    async with running_product(settings, worker=False) as product:
        yield product


@asynccontextmanager
async def following(person: Person, seconds: int | None = None) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A socket on which a document's progress is followed, after its first event; with a token for some seconds."""
    document = (await person.upload(b"A text that is long enough to be read.", "notes.txt"))["document"]["id"]
    token = person.token if seconds is None else short_lived(person, seconds)
    async with person.product.socket(token) as socket:
        await subscribe(socket, "1", PROGRESS, {"id": document})
        assert (await socket.receive_json())["type"] == "next"
        yield socket


async def subscribe(socket: aiohttp.ClientWebSocketResponse, id: str, query: str, variables: dict[str, Any]) -> None:
    """Start an operation."""
    await socket.send_json({"id": id, "type": "subscribe", "payload": {"query": query, "variables": variables}})


async def the_end(socket: aiohttp.ClientWebSocketResponse) -> tuple[dict[str, Any], int | None, float]:
    """The operation's error, the socket's close code, and how many seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(10):
        frame = json.loads((await socket.receive()).data)
        assert (frame["id"], frame["type"]) == ("1", "error"), frame
        closing = await socket.receive()
    assert closing.type is aiohttp.WSMsgType.CLOSE
    assert closing.extra == f"UNAUTHENTICATED: {frame['payload'][0]['message']}"
    return frame["payload"][0], socket.close_code, time.monotonic() - began


async def test_signing_out_ends_what_runs_on_the_session_s_sockets(idle: Product) -> None:
    person = await idle.sign_up()
    async with following(person) as socket:
        await idle.post(SIGN_OUT, token=person.token)
        error, code, seconds = await the_end(socket)
    assert (error["extensions"]["code"], code) == ("UNAUTHENTICATED", 4403)
    assert "session has ended" in error["message"]
    assert seconds < WITHIN


async def test_signing_out_while_redis_is_deaf_ends_it_too(idle: Product) -> None:
    person = await idle.sign_up()
    async with following(person) as socket:
        await as_owner(idle.settings, "UPDATE sessions SET revoked_at = now() WHERE id = $1", person.session_id)
        await idle.services.redis.flushdb()
        await cut_live_channels(idle.services.redis)
        error, code, seconds = await the_end(socket)
    assert (error["extensions"]["code"], code) == ("UNAUTHENTICATED", 4403)
    assert seconds < WITHIN


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE users SET suspended_at = now() WHERE tenant_id = $1", "account is suspended"),
        ("UPDATE tenants SET suspended_at = now() WHERE id = $1", "organisation is suspended"),
        ("DELETE FROM users WHERE tenant_id = $1", "no longer exists"),
    ],
)
async def test_suspension_and_removal_reach_open_sockets(idle: Product, statement: str, words: str) -> None:
    person = await idle.sign_up()
    async with following(person) as socket:
        await as_owner(idle.settings, statement, person.tenant_id)
        await idle.services.standings.changed(person.tenant_id, [person.session_id])
        error, code, seconds = await the_end(socket)
    assert (error["extensions"]["code"], code) == ("UNAUTHENTICATED", 4403)
    assert words in error["message"]
    assert seconds < WITHIN


async def test_a_weaker_role_ends_what_needs_the_stronger_one_and_keeps_the_socket(idle: Product) -> None:
    person = await idle.sign_up()
    async with following(person) as socket:
        await set_role(person, "USER")
        frame = json.loads((await socket.receive(timeout=WITHIN)).data)
        assert (frame["id"], frame["type"]) == ("1", "error")
        assert frame["payload"][0]["extensions"]["code"] == "FORBIDDEN"
        assert "USER" in frame["payload"][0]["message"]
        await subscribe(socket, "2", VIEWER, {})
        assert (await socket.receive_json())["payload"]["data"]["viewer"]["user"]["email"] == person.email


CITED = """subscription($id: ID!) { answer(id: $id) {
  ... on AnswerCitation { citation { marker document { uploadedBy { email role } } } } } }"""


@pytest.mark.long
async def test_a_weaker_role_sees_less_in_an_answer_that_goes_on(settings: Settings, tmp_path: Path) -> None:
    async with gemini(settings, tmp_path, chat_provider="gemini") as (server, changed):
        async with running_product(changed) as working:
            person = await working.sign_up()
            for text in (b"Vexholm was founded in 1432 by Queen Astrid.", b"Vexholm was burnt in 1733 by the Danes."):
                await person.ready_document(text)
        colleague = await uploaded_by_a_colleague(person)
        go_on = asyncio.Event()
        server.script = [Say("Founded [1], "), Until(go_on), Say("then burnt [2]."), Say(finish="STOP")]
        # Without a worker a document stays QUEUED, and following it goes on for ever.
        async with running_product(changed, worker=False) as product:
            person = replace(person, product=product)
            sent = await person.send(await person.conversation(), "What became of Vexholm?")
            async with following(person) as socket:
                await subscribe(socket, "2", CITED, {"id": sent["answer"]["id"]})
                assert await cited(socket) == {"email": colleague, "role": "BUSINESS"}
                await set_role(person, "USER")
                async with asyncio.timeout(WITHIN):
                    assert (await ending(socket))["id"] == "1"
                go_on.set()
                assert await cited(socket) is None
                assert await ending(socket) == {"id": "2", "type": "complete"}


async def uploaded_by_a_colleague(person: Person) -> str:
    """Have all documents be those of somebody else with the role BUSINESS, whose address it is."""
    email, settings = f"colleague.of.{person.email}", person.product.settings
    await as_owner(
        settings,
        "INSERT INTO users (tenant_id, id, email, name, role, password_hash) VALUES ($1, $2, $3, 'C', 'BUSINESS', 'x')",
        *(person.tenant_id, new_id(), email),
    )
    await as_owner(settings, "UPDATE documents SET uploaded_by_id = (SELECT id FROM users WHERE email = $1)", email)
    return email


async def ending(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    """The frame with which one of the socket's operations ends, whatever comes before it."""
    while (frame := await socket.receive_json())["type"] == "next":
        pass
    return frame  # type: ignore[no-any-return]


async def cited(socket: aiohttp.ClientWebSocketResponse) -> dict[str, str] | None:
    """Who uploaded the document of the next citation, as far as it is shown."""
    async with asyncio.timeout(10):
        while not (event := (await socket.receive_json())["payload"]["data"]["answer"]):
            pass
    return event["citation"]["document"]["uploadedBy"]  # type: ignore[no-any-return]


@pytest.mark.long
async def test_a_conversation_of_one_s_own_is_followed_on_in_a_weaker_role_and_until_one_signs_out(
    idle: Product,
) -> None:
    person = await idle.sign_up()
    conversation = await person.conversation()
    async with idle.socket(person.token) as socket:
        await subscribe(socket, "1", CONVERSATION, {"id": conversation})
        assert (await socket.receive_json())["payload"]["data"]["conversation"]["__typename"] == "ConversationSnapshot"
        await set_role(person, "USER")
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=WITHIN)
        await idle.post(SIGN_OUT, token=person.token)
        error, code, seconds = await the_end(socket)
    assert (error["extensions"]["code"], code) == ("UNAUTHENTICATED", 4403)
    assert seconds < WITHIN


@pytest.mark.long
async def test_an_expired_token_ends_what_runs(idle: Product) -> None:
    person = await idle.sign_up()
    async with following(person, BRIEF) as socket:
        error, code, seconds = await the_end(socket)
    assert (error["extensions"]["code"], code) == ("UNAUTHENTICATED", 4403)
    assert "expired" in error["message"]
    assert seconds < BRIEF + WITHIN


@pytest.mark.long
async def test_a_token_renewed_by_a_ping_keeps_what_runs(idle: Product) -> None:
    person = await idle.sign_up()
    async with following(person, BRIEF) as socket:
        await socket.send_json({"type": "ping", "payload": {"authorization": f"Bearer {person.token}"}})
        pong = await socket.receive_json()
        assert pong["payload"]["authorization"] == "renewed"
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=BRIEF + 1)
        await subscribe(socket, "2", VIEWER, {})
        assert (await socket.receive_json())["payload"]["data"]["viewer"]["user"]["email"] == person.email


async def test_only_a_token_of_the_same_session_renews(idle: Product) -> None:
    person, other = await idle.sign_up(), await idle.sign_up()
    async with idle.socket(person.token) as socket:
        for authorization in (f"Bearer {other.token}", "Bearer x", "", 7, f"Bearer {short_lived(person, -1)}"):
            await socket.send_json({"type": "ping", "payload": {"authorization": authorization}})
            assert (await socket.receive_json())["payload"]["authorization"] == "refused"
        await subscribe(socket, "1", VIEWER, {})
        assert (await socket.receive_json())["payload"]["data"]["viewer"]["user"]["email"] == person.email


async def test_a_ping_without_a_token_is_answered_as_ever(product: Product) -> None:
    async with product.socket(None) as socket:
        await socket.send_json({"type": "ping"})
        assert await socket.receive_json() == {"type": "pong"}


@pytest.mark.parametrize(
    "frame", ["[]", "5", "null", '"x"', '{"type": 7}', '{"type": "subscribe", "id": "1", "payload": 7}']
)
async def test_what_is_no_message_closes_the_socket_with_a_reason(product: Product, frame: str) -> None:
    async with product.socket(None) as socket:
        await socket.send_str(frame)
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4400
