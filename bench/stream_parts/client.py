"""Viewers without a WebSocket library: what they cost must not be what is measured."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from dataclasses import dataclass, field
from typing import cast

QUERY = """subscription Watch($id: ID!) { answer(id: $id) { __typename ... on StreamEvent { sequence cursor }
  ... on AnswerDelta { text } ... on AnswerStep { step } ... on AnswerRestarted { attempt }
  ... on AnswerFailed { failure { code message retryable } } } }"""
READY_SECONDS = 60
_TEXT = b'"text":"'


@dataclass
class Tally:
    """What all viewers have been sent."""

    deltas: int = 0
    ended: int = 0
    lost: int = 0
    """Connections that are no more."""
    latencies: list[int] = field(default_factory=list)
    """Nanoseconds from a delta's publication to its arrival."""
    bytes: int = 0


def _frame(message: object) -> bytes:
    payload = json.dumps(message).encode()
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + bytes(4) + payload  # a key of zeros leaves the payload as it is


class Viewer(asyncio.Protocol):
    """One connection, with so many operations of one answer each; `ready` when each has been sent something."""

    def __init__(self, tally: Tally, port: int, answers: list[str], token: str | None) -> None:
        self._tally, self._port, self._answers, self._token = tally, port, answers, token
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""
        self._upgraded = False
        self._expected = 1 if token is None else 1 + len(answers)
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast("asyncio.Transport", transport)
        path = "/graphql" if self._token is not None else f"/graphql?answer={self._answers[0]}"
        transport.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.lost += 1
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"closed before it was ready: {self._buffer!r}"))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if not self._upgraded:
            head, found, buffer = buffer.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            assert b" 101 " in head, head
            self._upgraded = True
            if self._token is not None:
                self._say({"type": "connection_init", "payload": {"authorization": f"Bearer {self._token}"}})
        position, end = 0, len(buffer)
        while end - position >= 2:
            size, start = buffer[position + 1], position + 2
            assert size < 127, "no message is that long"
            if size == 126:
                if end - position < 4:
                    break
                size, start = int.from_bytes(buffer[start : start + 2], "big"), start + 2
            if end < start + size:
                break
            self._receive(buffer[position], buffer[start : start + size])
            position = start + size
        self._buffer = buffer[position:]

    def _receive(self, first: int, payload: bytes) -> None:
        if first & 0x0F != 0x1:
            assert first & 0x0F == 0x9, payload
            assert self.transport is not None
            self.transport.write(bytes([0x8A, 0x80 | len(payload)]) + bytes(4) + payload)
            return
        tally = self._tally
        text = payload.find(_TEXT)
        if text >= 0:
            now = time.monotonic_ns()
            tally.deltas += 1
            tally.bytes += len(payload)
            tally.latencies.append(now - int(payload[text + 8 : payload.index(b" ", text)]))
        elif b'Completed"' in payload:
            tally.ended += 1
        elif self._expected:
            self._expected -= 1
            if b"connection_ack" in payload:
                for number, answer in enumerate(self._answers):
                    query = {"query": QUERY, "variables": {"id": answer}}
                    self._say({"id": str(number), "type": "subscribe", "payload": query})
            if not self._expected:
                self.ready.set_result(None)

    def _say(self, message: object) -> None:
        assert self.transport is not None
        self.transport.write(_frame(message))


async def connect(
    tally: Tally, port: int, answers: list[str], token: str | None, *, at_once: int = 16, per_socket: int = 1
) -> list[Viewer]:
    """A viewer for each answer, all ready; `per_socket` of them on one connection, where there is a protocol for it."""
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(at_once)

    async def one(some: list[str]) -> Viewer:
        async with room:
            _, viewer = await loop.create_connection(lambda: Viewer(tally, port, some, token), "127.0.0.1", port)
            async with asyncio.timeout(READY_SECONDS):
                await viewer.ready
            return viewer

    return await asyncio.gather(*[one(answers[at : at + per_socket]) for at in range(0, len(answers), per_socket)])
