"""What attacks are sent to, and how what comes back is told in a few words.

An outcome is a status and a code, `400 LIMIT_EXCEEDED depth`; or a socket's `close 4400`, `error LIMIT_EXCEEDED`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from core.security import TokenSigner
from core.settings import Settings
from product import Person
from raw_socket import Closed, RawSocket, Refused

REFUSAL_SECONDS = 0.05
"""Asserted of a refusal, in the mean: the aim."""
GAP_SECONDS = 0.2
"""Asserted of the longest wait: twice the aim."""
AT_ONCE_SECONDS = 0.4
"""The same where ten expensive requests, or a hundred sockets, come in one moment."""
REFUSED = 400
"""Of a document that is not executed, as the draft of GraphQL over HTTP has it for this type of response."""
RESPONSE_JSON = "application/graphql-response+json"
START = 'mutation { startConversation(input: {title: "by an attacker"}) { __typename ... on UserError { code } } }'
VIEWER = "{ viewer { user { id } } }"
SUBSCRIPTION = "subscription($id: ID!) { documentProgress(id: $id) { status } }"


@dataclass
class Target:
    """A running API, somebody who is attacked, and somebody of another organisation who attacks."""

    url: str
    settings: Settings
    signer: TokenSigner
    http: aiohttp.ClientSession
    victim: Person
    cookie: str
    """What the victim's browser has in its cookie: good for one more token."""
    attacker: Person
    waiting: str
    """A document of the attacker's that nobody reads: following its progress goes on for ever."""
    numbers: Iterator[int] = field(default_factory=count)
    """A new one for each text that must not have been seen before."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    async def graphql(self, payload: Any, token: str | None = None, **headers: str) -> str:
        """The outcome of one request as clients send it."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        given = {"Content-Type": "application/json", "Accept": RESPONSE_JSON, **_named(headers)}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        async with self.http.post(f"{self.url}/graphql", data=body, headers=given) as response:
            return outcome(response.status, await response.read())

    async def request(self, method: str, path: str = "/graphql", body: bytes | None = None, **headers: str) -> str:
        """The outcome of a request with no header but these."""
        async with self.http.request(
            method, self.url + path, data=body, headers=_named(headers), skip_auto_headers=["Content-Type"]
        ) as response:
            return outcome(response.status, await response.read())

    async def bytes(self, *pieces: bytes, closing: bool = False) -> str:
        """The outcome of these bytes on a connection, which the client then closes, or waits."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return "closed by the client" if closing else await _answer(reader)
        except ConnectionError:
            return "closed"
        finally:
            writer.close()

    async def half_closed(self, sent: bytes) -> str:
        """The outcome of these bytes, behind which the client sends no more, and reads to the end."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(sent)
            writer.write_eof()
            with suppress(ConnectionResetError):
                await reader.read()
            return "closed"
        finally:
            writer.close()

    async def drip(self, start: bytes, piece: bytes) -> str:
        """The outcome of a connection on which a piece comes ten times a second, and no end."""
        reader, writer = await asyncio.open_connection(*self.address)
        answer = asyncio.create_task(_answer(reader))
        try:
            writer.write(start)
            while not answer.done():
                writer.write(piece)
                await asyncio.wait({answer}, timeout=0.1)
            return answer.result()
        finally:
            writer.close()

    @asynccontextmanager
    async def socket(self, token: str | None = None, *, sign_in: bool = True) -> AsyncIterator[RawSocket]:
        """A socket of graphql-transport-ws, acknowledged unless told otherwise."""
        async with RawSocket(*self.address) as socket:
            if sign_in:
                await socket.sign_in(token)
            yield socket


@dataclass(frozen=True)
class Attack:
    """One row: what is sent (once), and what must come back."""

    name: str
    refused: str
    send: Callable[[Target], Awaitable[str]]
    parts: int = 1
    """How many requests it is made of, where that is many: each has to be refused in time."""
    fewest: int = 3
    """How often it is sent at least."""
    cpu: float = REFUSAL_SECONDS
    """Seconds of CPU that one may take on a quiet machine."""
    gap: float = GAP_SECONDS
    """Seconds that the viewer may wait then."""


def outcome(status: int, body: bytes) -> str:
    """The status, and the code of what is wrong, with the kind of a limit."""
    try:
        answer = json.loads(body)
    except ValueError:
        return str(status)
    for error in answer.get("errors") or ():
        return f"{status} {_coded(error)}"
    for value in (answer.get("data") or {}).values():
        if isinstance(value, dict) and "code" in value:
            return f"{status} {value['code']}"
    return f"{status} answered"


async def _answer(reader: asyncio.StreamReader) -> str:
    """The outcome of one request on a bare connection."""
    head, _, body = (await reader.read(65_536)).partition(b"\r\n\r\n")
    if not head:
        return "closed"
    length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), b":0")
    while len(body) < int(length.partition(b":")[2]):
        body += await reader.read(65_536)
    return outcome(int(head.split()[1]), body)


async def of_socket(socket: RawSocket) -> str:
    """How the server answers what was just sent: by closing, or by the first message that is no event."""
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "error":
                return f"error {_coded(message['payload'][0])}"
            if message["type"] == "next" and message["payload"].get("errors"):
                return f"next {_coded(message['payload']['errors'][0])}"
            if message["type"] == "pong":
                return f"pong {(message.get('payload') or {}).get('authorization')}"
    except Closed as closed:
        return f"close {closed.args[0]}"


async def of_flood(socket: RawSocket) -> str:
    """Why operations are refused before a ping that was sent behind them is answered."""
    refused: set[str] = set()
    try:
        while (message := await socket.receive())["type"] != "pong":
            if message["type"] == "error":
                refused.add(f"error {_coded(message['payload'][0])}")
    except Closed as closed:
        return f"close {closed.args[0]}"
    return " / ".join(sorted(refused))


async def of_stream(socket: RawSocket) -> str:
    """With what code a socket is closed, whatever is answered before."""
    try:
        while True:
            await socket.receive()
    except Closed as closed:
        return f"close {closed.args[0]}"


async def of_upgrade(target: Target, **headers: str) -> str:
    """How the server answers an upgrade with these headers."""
    try:
        async with RawSocket(*target.address, **_named(headers)) as socket:
            return await of_socket(socket)
    except Refused as refused:
        return str(refused)


def _coded(error: dict[str, Any]) -> str:
    extensions = error.get("extensions") or {}
    return " ".join(str(extensions[name]) for name in ("code", "kind") if name in extensions) or error["message"]


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
