"""What becomes of a WebSocket whose client breaks the protocol, or whom nobody can sign in."""

from __future__ import annotations

import pytest

from core.settings import Settings
from open_sockets import INIT, VIEWER, closed, opened, queued_document, subscribe, tracebacks
from product import Product, running_product
from raw_socket import BINARY, CLOSE, CONTINUATION, PING, Closed, RawSocket, frame
from wire import relayed


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


NO_UTF8 = "A text message must be UTF-8."
NO_JSON = "WebSocket message must be valid JSON"
NO_MESSAGE = "This is not a message of graphql-transport-ws"
TOO_MANY = "The request has 200"
LISTS = b"[" + b",".join([b"[]"] * 20_000) + b"]"
SUBSCRIBE = b'{"type": "subscribe", "id": "1", "payload": %s}'
TEXTS = {
    "no JSON": (b"{", NO_JSON),
    "nested nine thousand times": (b"[" * 9_000, NO_JSON),
    "nested sixty thousand times": (b"[" * 60_000, "The request has 60001 values; the limit is 10000 (input_values)."),
    "a flood of lists": (SUBSCRIBE % LISTS, TOO_MANY),
    "a flood of lists beside a query": (SUBSCRIBE % (b'{"query": "{a}", "variables": {"a": %s}}' % LISTS), TOO_MANY),
    "a flood of lists in extensions": (SUBSCRIBE % (b'{"query": "{a}", "extensions": {"a": %s}}' % LISTS), TOO_MANY),
    "a flood of lists in an init": (b'{"type": "connection_init", "payload": {"a": %s}}' % LISTS, TOO_MANY),
    "a flood of lists in a ping": (b'{"type": "ping", "payload": {"a": %s}}' % LISTS, TOO_MANY),
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
    "binary": (frame(b'{"type": "ping"}', BINARY), 4400, "WebSocket message type must be text"),
    "no UTF-8": (frame(b'{"type": "\xff"}'), 1007, NO_UTF8),
    "no UTF-8 in pieces": (
        frame(b"\xc3", end=False) + frame(b"\x28", CONTINUATION),
        1007,
        "A text message must be UTF-8.",
    ),
    "reserved bits": (frame(b"{}", reserved=7), 1002, "reserved bits must be 0"),
    "an unknown kind": (frame(b"{}", 3), 1002, "invalid opcode"),
    "without a mask": (frame(b"{}", mask=False), 1002, "incorrect masking"),
    "a continuation of nothing": (frame(b"{}", CONTINUATION), 1002, "unexpected continuation frame"),
    "a ping in pieces": (frame(b"", PING, end=False), 1002, "fragmented control frame"),
}
BROKEN = FRAMES | {what: (frame(text), 4400, words) for what, (text, words) in TEXTS.items()}


@pytest.mark.parametrize("what", BROKEN)
async def test_what_is_malformed_closes_the_socket_with_a_reason_and_no_traceback(product: Product, what: str) -> None:
    sent, code, words = BROKEN[what]
    with tracebacks() as found:
        async with RawSocket(*product.address) as socket:
            await socket.send(sent)
            with pytest.raises(Closed) as told:
                await socket.receive()
            await socket.send(frame(code.to_bytes(2), CLOSE))
            await socket.ended()
    assert told.value.args[0] == code
    assert told.value.args[1].startswith(words)
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
