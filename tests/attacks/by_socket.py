"""Attacks by what is sent on a WebSocket: frames, messages, and too many of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from target import AT_ONCE_SECONDS, SUBSCRIPTION, VIEWER, Attack, Target, of_flood, of_socket, of_stream, of_upgrade

from core.settings import Settings
from raw_socket import BINARY, PING, PONG, RawSocket, frame, operation

MANY = 1_000
MOST = 120
"""Operations on one socket: more than it may have, in fewer messages than it may send at once."""
MESSAGES = 5_000
SOCKETS = Settings.model_fields["sockets_per_address"].default
LISTS = b",".join([b"[]"] * 40_000)
"""As many as fit into a message."""
DEAR = "{ viewer { conversations(first: 100) { nodes { messages(first: 100) { nodes { id answers { id } } } } } } }"
Send = Callable[[Target], Awaitable[str]]


def _frames(*frames: bytes, sign_in: bool = True) -> Send:
    """Bytes, after signing in."""

    async def send(target: Target) -> str:
        async with target.socket(target.attacker.token, sign_in=sign_in) as socket:
            await socket.send(*frames)
            return await of_socket(socket)

    return send


def _messages(*messages: Any, sign_in: bool = True) -> Send:
    return _frames(*(frame(json.dumps(message).encode()) for message in messages), sign_in=sign_in)


@asynccontextmanager
async def _following(target: Target) -> AsyncIterator[RawSocket]:
    """A socket with an operation `1` that goes on."""
    async with target.socket(target.attacker.token) as socket:
        await socket.subscribe("1", SUBSCRIPTION, id=target.waiting)
        assert (await socket.receive())["type"] == "next"
        yield socket


async def _an_id_twice(target: Target) -> str:
    async with _following(target) as socket:
        await socket.subscribe("1", SUBSCRIPTION, id=target.waiting)
        return await of_socket(socket)


async def _subscribes(target: Target, many: int) -> str:
    """Many operations at once that never end, then a ping: its pong comes when each has been accepted or refused."""
    async with target.socket(target.attacker.token) as socket:
        await socket.send_json(
            *(operation(str(number), SUBSCRIPTION, id=target.waiting) for number in range(many)), {"type": "ping"}
        )
        return await of_flood(socket)


async def flood(target: Target) -> str:
    """As many operations as the messages that a socket takes at once, and more than it may have."""
    return await _subscribes(target, MOST)


def _stream(one: bytes, *, sockets: int = 1, first: bytes = b"") -> Send:
    """So many frames as fast as they go, from nobody in particular, on one socket or on many at once."""
    many = first + one * MESSAGES

    async def send_on_one(target: Target) -> str:
        async with target.socket() as socket:
            await socket.send(many)
            return await of_stream(socket)

    async def send(target: Target) -> str:
        outcomes = await asyncio.gather(*(send_on_one(target) for _ in range(sockets)))
        return " / ".join(sorted(set(outcomes)))

    return send


async def _inits(target: Target) -> str:
    async with target.socket(target.attacker.token) as socket:
        await socket.send_json({"type": "connection_init"})
        return await of_socket(socket)


_PING: Final = frame(b'{"type":"ping"}')

ROWS: Final = [
    # Frames
    Attack("a frame without a mask", "close 1002", _frames(frame(b"{}", mask=False))),
    Attack("a frame of an unknown kind", "close 1002", _frames(frame(b"{}", 0x7))),
    Attack("a frame with reserved bits", "close 1002", _frames(frame(b"{}", reserved=4))),
    Attack("a ping of 200 bytes", "close 1002", _frames(frame(b"x" * 200, PING))),
    Attack("a continuation of nothing", "close 1002", _frames(frame(b"{}", 0))),
    Attack("a text that is no UTF-8", "close 1007", _frames(frame(b'{"type": "\xff\xfe"}'))),
    Attack("a binary frame", "close 4400", _frames(frame(b'{"type": "ping"}', BINARY))),
    Attack("a frame of 2^62 bytes", "close 1009", _frames(frame(b"x", size=1 << 62))),
    Attack("a frame of 2 MB", "close 1009", _frames(frame(b"x", size=2 * 1024 * 1024))),
    Attack(
        "a message of endless frames",
        "close 1009",
        _frames(frame(b"{", end=False), *[frame(b" " * 4_096, 0, end=False)] * 32),  # one byte more than is allowed
    ),
    # Messages
    Attack("a message that is no JSON", "close 4400", _frames(frame(b"{" * 100_000))),
    Attack("a message of nested lists", "close 4400", _frames(frame(b"[" * 60_000 + b"]" * 60_000))),
    Attack("a message that is a number", "close 4400", _frames(frame(b"9" * 120_000))),
    Attack("an array of messages", "close 4400", _messages([{"type": "ping"}] * 1_000)),
    *(
        Attack(f"a {what} full of lists", "close 4400", _frames(frame(text % LISTS), sign_in=what != "connection_init"))
        for what, text in {
            "subscribe": b'{"type":"subscribe","id":"1","payload":{"query":"{__typename}","variables":{"a":[%s]}}}',
            "subscribe's extensions": b'{"type":"subscribe","id":"1","payload":{"query":"","extensions":{"a":[%s]}}}',
            "connection_init": b'{"type":"connection_init","payload":{"a":[%s]}}',
            "ping": b'{"type":"ping","payload":{"a":[%s]}}',
        }.items()
    ),
    Attack(
        "a subscribe with as many lists as may be",
        "error LIMIT_EXCEEDED list_items",
        _messages(operation("1", "{ __typename }", a=[[]] * 9_900)),
    ),
    Attack(
        "a subscribe with as many lists in its extensions",
        "error LIMIT_EXCEEDED list_items",
        _messages(
            {"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "extensions": {"a": [[]] * 9_900}}}
        ),
    ),
    Attack(
        "an operation whose name is empty, among several",
        "error BAD_USER_INPUT",
        _messages(
            {
                "type": "subscribe",
                "id": "1",
                "payload": {"query": "query A { __typename } query B { __typename }", "operationName": ""},
            }
        ),
    ),
    Attack(
        "an operation whose name is empty, beyond the cost",
        "error LIMIT_EXCEEDED cost",
        _messages({"type": "subscribe", "id": "1", "payload": {"query": DEAR, "operationName": ""}}),
    ),
    Attack("a message without a type", "close 4400", _messages({"id": "1"})),
    Attack("a message of an unknown type", "close 4400", _messages({"type": "x" * 120_000})),
    Attack("a message of the legacy protocol", "close 4400", _messages({"type": "start", "id": "1"})),
    Attack("a subscribe without its payload", "close 4400", _messages({"type": "subscribe", "id": "1"})),
    Attack(
        "a subscribe with a query that is a list",
        "close 4400",
        _messages({"type": "subscribe", "id": "1", "payload": {"query": [VIEWER]}}),
    ),
    Attack("an id that is an object", "close 4400", _messages({"type": "subscribe", "id": {}, "payload": {}})),
    Attack("subscribe without init", "close 4401", _messages(operation("1", VIEWER), sign_in=False)),
    Attack("a socket on which nothing comes", "close 4408", _frames(sign_in=False), fewest=1),
    Attack("init twice", "close 4429", _inits),
    Attack("an id twice", "close 4409", _an_id_twice),
    Attack(
        "more operations than a socket may have",
        "error LIMIT_EXCEEDED socket_operations",
        flood,
        MOST,
        1,
        gap=AT_ONCE_SECONDS,
    ),
    Attack("1,000 subscribes on one socket", "close 4429", lambda target: _subscribes(target, MANY)),
    # Floods
    Attack("a flood of pings", "close 4429", _stream(_PING)),
    Attack(
        "a flood of pings on all sockets of an address",
        "close 4429",
        _stream(_PING, sockets=SOCKETS),
        SOCKETS,
        1,
        gap=AT_ONCE_SECONDS,
    ),
    Attack("a flood of pongs", "close 4429", _stream(frame(b'{"type":"pong"}'))),
    Attack("a flood of completes", "close 4429", _stream(frame(b'{"type":"complete","id":"none"}'))),
    Attack("a flood of empty messages", "close 4429", _stream(frame(b""))),
    Attack("a flood of binary frames", "close 4429", _stream(frame(b"x", BINARY))),
    Attack("a flood of pieces", "close 4429", _stream(frame(b"", 0, end=False), first=frame(b"{", end=False))),
    Attack("a flood of control pings", "close 4429", _stream(frame(b"", PING))),
    Attack("a flood of control pongs", "close 4429", _stream(frame(b"", PONG))),
    Attack(
        "a flood of control pings on all sockets of an address",
        "close 4429",
        _stream(frame(b"", PING), sockets=SOCKETS),
        SOCKETS,
        1,
        gap=AT_ONCE_SECONDS,
    ),
    # Upgrades
    Attack("a socket from elsewhere", "403", lambda target: of_upgrade(target, Origin="https://evil.example")),
    Attack(
        "a socket of the legacy protocol",
        "close 4406",
        lambda target: of_upgrade(target, Sec_WebSocket_Protocol="graphql-ws"),
    ),
]
