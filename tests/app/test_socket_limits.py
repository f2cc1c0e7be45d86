"""What one WebSocket may ask of the API, and what becomes of one that breaks the protocol, idles or has died."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import re
import socket as sockets
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aiohttp
import pytest

from core.settings import Settings
from datastores import redis_keys
from owner import until, uuid_of
from product import PROGRESS, Person, Product, running_product
from wire import relayed

VIEWER = "{ viewer { user { email } } }"
CREATE_KEY = """mutation { createApiKey(input: {name: "x", role: USER}) {
  ... on CreateApiKeyPayload { secret } } }"""
INIT = {"type": "connection_init"}
NEXT_TO_NOTHING = {
    "socket_init_timeout": 0.5,
    "socket_idle_timeout": 1.0,
    "socket_message_bytes": 2_048,
    "socket_operations": 2,
    "sockets_per_person": 2,
    "sockets_per_address": 2,
}


@pytest.fixture
async def tight(settings: Settings) -> AsyncIterator[Product]:
    """A product with next to no room; its documents stay QUEUED, so that following one goes on for ever."""
    async with running_product(settings.model_copy(update=NEXT_TO_NOTHING), worker=False) as product:
        yield product


@asynccontextmanager
async def opened(product: Product) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A socket on which nothing has been said."""
    async with product.http.ws_connect(f"{product.url}/graphql", protocols=("graphql-transport-ws",)) as socket:
        yield socket


async def closed(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
    """Code and reason with which the server closes the socket, once it does; other messages are passed over."""
    while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
        pass
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    return message.data, message.extra


async def subscribe(socket: aiohttp.ClientWebSocketResponse, id: str, query: str, /, **variables: Any) -> None:
    """Start an operation."""
    await socket.send_json({"id": id, "type": "subscribe", "payload": {"query": query, "variables": variables}})


async def queued_document(person: Person) -> str:
    """The id of a document that nobody reads."""
    return (await person.upload(os.urandom(8).hex().encode() * 9))["document"]["id"]  # type: ignore[no-any-return]


async def following(person: Person, document: str) -> bool:
    """Whether anything in the product follows the document."""
    channel = redis_keys.document_live(person.tenant_id, uuid_of(document))
    ((_, listeners),) = await person.product.services.redis.pubsub_numsub(channel)
    return bool(listeners)


@contextmanager
def tracebacks() -> Iterator[list[logging.LogRecord]]:
    """Lines of any logger that carry one."""
    found: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record) if record.exc_info else None  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield found
    finally:
        logging.getLogger().removeHandler(handler)


async def test_a_socket_that_says_nothing_is_closed(tight: Product) -> None:
    async with opened(tight) as socket:
        code, reason = await closed(socket)
    assert (code, reason) == (4408, "Connection initialisation timeout")


async def test_an_idle_socket_is_closed_and_one_with_an_operation_or_messages_is_not(tight: Product) -> None:
    person = await tight.sign_up()
    document = await queued_document(person)
    loop = asyncio.get_running_loop()
    async with tight.socket(person.token) as idle, tight.socket(person.token) as busy:
        await subscribe(busy, "1", PROGRESS, id=document)
        assert (await busy.receive_json())["type"] == "next"
        began = loop.time()
        for _ in range(3):
            await asyncio.sleep(0.4)
            await idle.send_json({"type": "ping"})
            assert (await idle.receive_json())["type"] == "pong"
        quiet = loop.time()
        assert quiet - began > 1.0
        assert await closed(idle) == (1000, "Nothing has happened here for 1 seconds.")
        assert loop.time() - quiet > 0.9
        await busy.send_json({"id": "1", "type": "complete"})
        ended = loop.time()
        assert (await closed(busy))[0] == 1000
        assert loop.time() - ended > 0.9


async def test_an_operation_too_many_fails_alone(tight: Product) -> None:
    person = await tight.sign_up()
    document = await queued_document(person)
    async with tight.socket(person.token) as socket:
        for id in ("1", "2", "3"):
            await subscribe(socket, id, PROGRESS, id=document)
        frames = [await socket.receive_json() for _ in range(3)]
        (refused,) = [frame for frame in frames if frame["type"] == "error"]
        assert {frame["id"] for frame in frames if frame["type"] == "next"} == {"1", "2"}
        assert refused["id"] == "3"
        (error,) = refused["payload"]
        assert error["message"] == "The socket has 3 operations at once; the limit is 2 (socket_operations)."
        assert error["extensions"] == {
            "code": "LIMIT_EXCEEDED",
            "kind": "socket_operations",
            "limit": 2,
            "actual": 3,
            "requestId": error["extensions"]["requestId"],
        }
        await socket.send_json({"id": "1", "type": "complete"})
        await subscribe(socket, "3", VIEWER)
        assert (await socket.receive_json())["payload"]["data"]["viewer"]["user"]["email"] == person.email


async def test_a_person_has_so_many_sockets_and_a_closed_one_makes_room(tight: Product) -> None:
    person, other = await tight.sign_up(), await tight.sign_up()
    async with tight.socket(person.token):
        async with tight.socket(person.token):
            async with tight.socket(person.token) as third:
                await third.send_json({"id": "1", "type": "subscribe", "payload": {"query": VIEWER}})
                code, reason = await closed(third)
                assert (code, reason) == (4429, "You have 2 sockets open, the most allowed. Close one first.")
            async with tight.socket(other.token) as free:
                await subscribe(free, "1", VIEWER)
                assert (await free.receive_json())["type"] == "next"

        async def admitted() -> bool:
            async with tight.socket(person.token) as again:
                await subscribe(again, "1", VIEWER)
                return (await again.receive()).type is aiohttp.WSMsgType.TEXT

        await until(admitted)


async def test_all_api_keys_of_an_organisation_share_their_sockets(tight: Product) -> None:
    person = await tight.sign_up()
    keys = [(await person.query(CREATE_KEY))["createApiKey"]["secret"] for _ in range(3)]
    async with tight.socket(keys[0]), tight.socket(keys[1]), tight.socket(person.token), tight.socket(keys[2]) as third:
        code, reason = await closed(third)
    assert (code, reason) == (
        4429,
        "The API keys of your organisation have 2 sockets open, the most allowed. Close one first.",
    )


async def test_an_address_has_so_many_sockets_on_which_nobody_has_signed_in(tight: Product) -> None:
    person = await tight.sign_up()
    async with tight.socket(person.token), tight.socket(None), tight.socket(None):
        async with opened(tight) as third:
            assert await closed(third) == (4429, "Too many sockets are open from this address. Try again later.")

        async def admitted() -> bool:
            async with opened(tight) as again:
                await again.send_json(INIT)
                return (await again.receive()).type is aiohttp.WSMsgType.TEXT

        assert not await admitted()
    await until(admitted)


async def test_an_address_opens_sockets_at_a_rate_whether_or_not_anybody_signs_in(settings: Settings) -> None:
    slow = settings.model_copy(update={"rate_limit_sockets_per_minute": 1, "rate_limit_sockets_burst": 2})
    async with running_product(slow, worker=False) as product:
        person = await product.sign_up()
        for token in (person.token, None):
            async with product.socket(token):
                pass
        async with opened(product) as third:
            code, reason = await closed(third)
        assert code == 1013
        assert re.fullmatch(
            r"Too many sockets have been opened from this address\. Try again in ([45]\d|60) seconds\.", reason
        )
        elsewhere = {"x-forwarded-for": "192.0.2.7"}
        url, protocols = f"{product.url}/graphql", ("graphql-transport-ws",)
        async with product.http.ws_connect(url, protocols=protocols, headers=elsewhere) as other:
            await other.send_json(INIT)
            assert (await other.receive_json())["type"] == "connection_ack"
        # Requests are counted by themselves.
        assert (await person.query(VIEWER))["viewer"]["user"]["email"] == person.email


async def test_a_message_that_is_too_large_closes_the_socket(tight: Product) -> None:
    async with tight.socket(None) as socket:
        await subscribe(socket, "1", VIEWER + " " * 1_800)
        assert (await socket.receive_json())["type"] == "next"
        await subscribe(socket, "2", VIEWER + " " * 2_000)
        code, _ = await closed(socket)
    assert code == 1009


async def test_too_many_messages_close_the_socket_and_in_the_long_run_some_are_free(settings: Settings) -> None:
    budget = {"socket_messages_per_second": 50, "socket_messages_burst": 10}
    async with running_product(settings.model_copy(update=budget), worker=False) as product:
        reason = "More than 50 messages a second, for longer than is allowed."
        async with opened(product) as socket:
            for _ in range(10):
                await socket.send_json({"type": "ping"})
            for _ in range(10):
                assert (await socket.receive_json())["type"] == "pong"
            await asyncio.sleep(0.1)  # five more
            for _ in range(4):
                await socket.send_json({"type": "ping"})
                assert (await socket.receive_json())["type"] == "pong"
            for _ in range(20):
                await socket.send_json({"type": "ping"})
            assert await closed(socket) == (4429, reason)
        reader, writer = await raw_socket(product)
        writer.write(text_frame(INIT) + frame(0x89, b"") * 100_000)
        head = await reader.readuntil(reason.encode())
        # What was too much is answered by nothing, and the connection ends though its client does not.
        assert head.count(b"\x8a\x00") == 9
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.transport.abort()


async def test_a_peer_that_answers_no_ping_is_closed_and_what_it_followed_is_freed(settings: Settings) -> None:
    eager = settings.model_copy(update={"socket_ping_interval": 0.2, "socket_ping_timeout": 0.3})
    async with running_product(eager, worker=False) as product:
        person = await product.sign_up()
        document = await queued_document(person)
        async with product.http.ws_connect(
            f"{product.url}/graphql", protocols=("graphql-transport-ws",), autoping=False
        ) as socket:
            await socket.send_json(INIT | {"payload": {"authorization": f"Bearer {person.token}"}})
            await subscribe(socket, "1", PROGRESS, id=document)
            seen = []
            while (message := await socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
                seen.append(message.type)
            assert (message.data, message.extra) == (1011, "keepalive ping timeout")
            # The first event may come behind the ping.
            assert sorted(seen) == [aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING]

        async def freed() -> bool:
            return not await following(person, document)

        await until(freed)


async def test_a_peer_that_reads_nothing_is_dropped_with_what_was_to_be_sent_to_it(settings: Settings) -> None:
    changes = {
        "socket_ping_interval": 0.2,
        "socket_ping_timeout": 0.5,
        "sockets_per_person": 1,
        "socket_messages_burst": 1_000,
    }
    eager = settings.model_copy(update=changes)
    query = "{ " + "x" * 30_000 + ": __typename }"  # its answer is as long
    async with running_product(eager, worker=False) as product:
        person = await product.sign_up()
        document = await queued_document(person)
        reader, writer = await raw_socket(product, buffer=4_096)
        payload = {"authorization": f"Bearer {person.token}"}
        writer.write(text_frame(INIT | {"payload": payload}))
        await reader.readuntil(b"connection_ack")
        watch = {"query": PROGRESS, "variables": {"id": document}}
        writer.write(text_frame({"id": "1", "type": "subscribe", "payload": watch}))
        await reader.readuntil(b'"QUEUED"')
        # From here on nothing is read: the reader's buffer fills, then both kernels', then the server's.
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for number in range(300):  # 9 MB: Linux keeps up to 4 MB of what is to be sent
            writer.write(text_frame({"id": f"s{number}", "type": "subscribe", "payload": {"query": query}}))

        async def freed() -> bool:
            return not await following(person, document)

        await until(freed)

        async def admitted() -> bool:
            async with product.socket(person.token) as again:
                await subscribe(again, "1", VIEWER)
                return (await again.receive()).type is aiohttp.WSMsgType.TEXT

        await until(admitted)
        writer.transport.abort()


async def test_who_breaks_the_protocol_is_told_how(product: Product) -> None:
    person = await product.sign_up()
    subscription = {"id": "1", "type": "subscribe", "payload": {"query": VIEWER}}
    async with opened(product) as socket:
        await socket.send_json(subscription)
        assert await closed(socket) == (4401, "Unauthorized")
    async with product.socket(person.token) as socket:
        await socket.send_json(INIT)
        assert await closed(socket) == (4429, "Too many initialisation requests")
    async with product.socket(person.token) as socket:
        long = "x" * 200
        await subscribe(
            socket,
            long,
            "subscription($id: ID!) { documentProgress(id: $id) { status } }",
            id=await queued_document(person),
        )
        await subscribe(socket, long, VIEWER)
        code, reason = await closed(socket)
        assert (code, reason[:20], len(reason)) == (4409, "Subscriber for xxxxx", 123)
    async with product.http.ws_connect(f"{product.url}/graphql", protocols=("graphql-ws",)) as socket:
        assert (await closed(socket))[0] == 4406


async def raw_socket(product: Product, buffer: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A socket whose frames the test writes itself, after the handshake."""
    host, port = product.url.removeprefix("http://").split(":")
    connection = sockets.socket()
    if buffer is not None:
        connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, buffer)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.write(
        f"GET /graphql HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def frame(first: int, content: bytes, *, masked: bool = True) -> bytes:
    """A frame with any first byte: FIN, three reserved bits, the kind."""
    mask_bit, size = 128 * masked, len(content)
    length = struct.pack("!B", mask_bit | size) if size < 126 else struct.pack("!BH", mask_bit | 126, size)
    return bytes([first]) + length + (b"\0\0\0\0" if masked else b"") + content


def text_frame(message: dict[str, Any]) -> bytes:
    """A message as a client sends it."""
    return frame(0x81, json.dumps(message).encode())


NO_JSON = "WebSocket message must be valid JSON"
NO_MESSAGE = "This is not a message of graphql-transport-ws"
SUBSCRIBE = b'{"type": "subscribe", "id": "1", "payload": %s}'
TEXTS = {
    "no JSON": (b"{", NO_JSON),
    "nested sixty thousand times": (b"[" * 60_000, NO_JSON),
    "half a surrogate pair": (b'{"type": "\\ud800"}', NO_JSON),
    "a type that is no text": (b'{"type": ["ping"]}', NO_MESSAGE),
    "a type without end": (b'{"type": "%s"}' % (b"x" * 500), "Unknown message type: xxxxx"),
    "an id that is a number": (b'{"type": "complete", "id": 1}', NO_MESSAGE),
    "an id without end": (b'{"type": "complete", "id": "%s"}' % (b"x" * 256), NO_MESSAGE),
    "no query": (SUBSCRIBE % b"{}", NO_MESSAGE),
    "a query that is no text": (SUBSCRIBE % b'{"query": 7}', NO_MESSAGE),
    "variables that are no object": (SUBSCRIBE % b'{"query": "{a}", "variables": [1]}', NO_MESSAGE),
    "an init whose payload is a list": (b'{"type": "connection_init", "payload": [1]}', "Invalid"),
}
FRAMES = {
    "binary": (frame(0x82, b'{"type": "ping"}'), 4400, "WebSocket message type must be text"),
    "no UTF-8": (frame(0x81, b'{"type": "\xff"}'), 1007, "A text message must be UTF-8."),
    "no UTF-8 in pieces": (frame(0x01, b"\xc3") + frame(0x80, b"\x28"), 1007, "A text message must be UTF-8."),
    "reserved bits": (frame(0xF1, b"{}"), 1002, "reserved bits must be 0"),
    "an unknown kind": (frame(0x83, b"{}"), 1002, "invalid opcode"),
    "without a mask": (frame(0x81, b"{}", masked=False), 1002, "incorrect masking"),
    "a continuation of nothing": (frame(0x80, b"{}"), 1002, "unexpected continuation frame"),
    "a ping in pieces": (frame(0x09, b""), 1002, "fragmented control frame"),
}
BROKEN = FRAMES | {what: (frame(0x81, text), 4400, words) for what, (text, words) in TEXTS.items()}


@pytest.mark.parametrize("what", BROKEN)
async def test_what_is_malformed_closes_the_socket_with_a_reason_and_no_traceback(product: Product, what: str) -> None:
    sent, code, words = BROKEN[what]
    with tracebacks() as found:
        reader, writer = await raw_socket(product)
        writer.write(sent)
        head = await reader.readexactly(2)
        assert head[0] == 0x88, head
        closing = await reader.readexactly(head[1])
        writer.write(frame(0x88, closing[:2]))
        await reader.read()
        writer.close()
        await writer.wait_closed()
        assert (int.from_bytes(closing[:2]), closing[2:].decode()[: len(words)]) == (code, words)
    assert found == []


@pytest.mark.timeout(40)
async def test_without_the_database_a_socket_is_told_to_come_later(settings: Settings) -> None:
    assert settings.database_url is not None
    async with (
        relayed(settings.database_url) as (url, relay),
        running_product(settings.model_copy(update={"database_url": url}), worker=False) as product,
    ):
        person = await product.sign_up()
        await product.services.redis.flushdb()
        await relay.close()
        with tracebacks() as found:
            async with opened(product) as socket:
                await socket.send_json(INIT | {"payload": {"authorization": f"Bearer {person.token}"}})
                code, reason = await closed(socket)
        await relay.listen_again()
    assert (code, reason) == (1013, "Nobody can be signed in at the moment. Try again later.")
    assert found == []
