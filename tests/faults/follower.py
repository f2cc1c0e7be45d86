"""A client that follows an answer through whatever happens, by the loop of docs/streaming.md, and checks the law.

The law: the text since the last restart is the stored message, sequences have no hole, one event is terminal, and the
last. It holds for any transport, any break, and any cursor that was ever received.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from streams import MULTIPART, SSE, pieces

WATCH = """subscription($id: ID!, $after: String) { answer(id: $id, after: $after) { __typename
  ... on StreamEvent { sequence cursor } ... on AnswerDelta { firstSequence text }
  ... on AnswerCompleted { answer { status message { text } } }
  ... on AnswerStopped { answer { message { text } } }
  ... on AnswerFailed { failure { code retryable } answer { message { text } } } } }"""
TERMINAL = ("AnswerCompleted", "AnswerStopped", "AnswerFailed")
TRANSPORTS = ("websocket", "sse", "multipart")
PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Place:
    """What a client knows after an event."""

    cursor: str | None = None
    sequence: int = 0
    text: str = ""


@dataclass
class Follower:
    """One client, at any of several addresses of the product."""

    http: aiohttp.ClientSession
    urls: Sequence[str]
    token: str
    answer_id: str
    place: Place = Place()
    restarts: int = 0
    terminal: dict[str, Any] | None = None
    seen: list[Place] = field(default_factory=list)

    async def follow(self, transports: Sequence[str] = TRANSPORTS, breaks: random.Random | None = None) -> None:
        """To the terminal event; with `breaks`, the connection is cut again and again, at any place."""
        number = 0
        while self.terminal is None:
            transport = breaks.choice(transports) if breaks else transports[number % len(transports)]
            url = breaks.choice(self.urls) if breaks else self.urls[number % len(self.urls)]
            number += 1
            left = breaks.choice((0, 1, 2, 5, 9, 1_000)) if breaks else 1_000_000
            if breaks and self.seen and breaks.random() < 0.2:
                self.place = breaks.choice(self.seen)
            try:
                async with aclosing(self._events(transport, url)) as events:
                    async for event in events:
                        self.take(event)
                        left -= 1
                        if left <= 0 or self.terminal is not None:
                            break
                        if breaks and breaks.random() < 0.05:
                            await asyncio.sleep(breaks.random() / 5)  # reads slowly
            except (TimeoutError, aiohttp.ClientError, OSError):
                await asyncio.sleep(PAUSE_SECONDS)

    def take(self, event: dict[str, Any]) -> None:
        """One event. Raises AssertionError where it breaks the law."""
        kind, sequence = event["__typename"], event["sequence"]
        assert self.terminal is None, "an event after the last"
        text = self.place.text
        if kind == "AnswerRestarted":
            assert sequence == 1
            text = ""
            self.restarts += 1
        else:
            first = event.get("firstSequence") or sequence
            assert first == self.place.sequence + 1, f"{kind} {first} after {self.place.sequence}"
        self.place = Place(event["cursor"], sequence, text + event.get("text", ""))
        self.seen.append(self.place)
        if kind in TERMINAL:
            self.terminal = event
            if (message := event["answer"]["message"]) is not None:
                assert self.place.text == message["text"]

    def _events(self, transport: str, url: str) -> AsyncIterator[dict[str, Any]] | Any:
        variables = {"id": self.answer_id, "after": self.place.cursor}
        if transport == "websocket":
            return self._over_socket(url, variables)
        return self._over_http(url, variables, SSE if transport == "sse" else MULTIPART)

    async def _over_http(self, url: str, variables: dict[str, Any], accept: str) -> AsyncIterator[dict[str, Any]]:
        headers = {"accept": accept, "authorization": f"Bearer {self.token}"}
        payload = {"query": WATCH, "variables": variables}
        async with self.http.post(f"{url}/graphql", json=payload, headers=headers) as response:
            if response.status == 429:
                raise TimeoutError
            async for piece in pieces(response):
                if piece.kind == "next":
                    yield _event(piece.body)
                elif piece.kind == "complete":
                    assert self.terminal is not None, "an end without a terminal event"
            # Cut without an end: again, after the last cursor.

    async def _over_socket(self, url: str, variables: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        payload = {"query": WATCH, "variables": variables}
        async with self.http.ws_connect(f"{url}/graphql", protocols=("graphql-transport-ws",)) as socket:
            init = {"authorization": f"Bearer {self.token}"}
            await socket.send_json({"type": "connection_init", "payload": init})
            async for message in socket:
                frame = json.loads(message.data)
                if frame["type"] == "connection_ack":
                    await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
                elif frame["type"] == "next":
                    yield _event(frame["payload"])
                elif frame["type"] == "error":
                    _event({"errors": frame["payload"]})
                elif frame["type"] == "complete":
                    assert self.terminal is not None, "an end without a terminal event"
                    return
            assert socket.close_code in (None, 1000, 1006, 1011, 1012, 1013), socket.close_code


def _event(body: dict[str, Any]) -> dict[str, Any]:
    codes = [error["extensions"]["code"] for error in body.get("errors") or ()]
    if codes and set(codes) <= {"INTERNAL", "RATE_LIMITED"}:
        # A database that is away, or a server that is too busy: again.
        raise TimeoutError
    assert not codes, body
    event: dict[str, Any] = body["data"]["answer"]
    return event


async def spoken(*followers: Follower) -> None:
    """Wait until each has been sent some text."""
    async with asyncio.timeout(30):
        while not all(len(follower.place.text) > 5 for follower in followers):  # noqa: ASYNC110 - of other tasks
            await asyncio.sleep(0.02)
