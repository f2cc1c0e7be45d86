"""Clients that keep what they see: when each token came, and whether it came in its order."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
import orjson

SIGN_UP = """mutation($input: SignUpInput!) { signUp(input: $input) {
  ... on SignUpPayload { session { accessToken } } ... on UserError { code message } } }"""
START = """mutation($input: StartConversationInput!) { startConversation(input: $input) {
  ... on StartConversationPayload { conversation { id } } ... on UserError { code message } } }"""
SEND = """mutation($input: SendMessageInput!) { sendMessage(input: $input) {
  ... on SendMessagePayload { answer { id } } ... on UserError { code message } } }"""
ANSWER = """subscription($id: ID!) { answer(id: $id) { __typename ... on StreamEvent { sequence }
  ... on AnswerDelta { firstSequence text } ... on AnswerRestarted { reason }
  ... on AnswerFailed { failure { code message } } } }"""


BEGUN: list[Seen] = []
"""The chats of the run that goes on."""
REFUSALS: Counter[str] = Counter()
"""What was refused for now in that run, by code."""


@dataclass
class Seen:
    """One chat. Moments are on the monotonic clock."""

    asked_at: float = 0.0
    first_at: float = 0.0
    first_written_at: float = 0.0
    ended_at: float = 0.0
    frames: int = 0
    latencies: list[float] = field(default_factory=list)
    """Of each token, from its writing by the provider to its coming here, in seconds."""
    restarts: list[str] = field(default_factory=list)
    """Why it was begun again; a good run has none."""
    gap: float = 0.0
    """The longest time between two frames with text."""
    _last_at: float = 0.0
    _rest: str = ""

    def __post_init__(self) -> None:
        BEGUN.append(self)

    def text(self, text: str) -> None:
        """Take a piece of the answer; tokens may be cut anywhere. Raises where one is missing or out of order."""
        now = time.monotonic()
        self.frames += 1
        if self._last_at:
            self.gap = max(self.gap, now - self._last_at)
        self._last_at = now
        *tokens, self._rest = (self._rest + text).split(" ")
        self._count(tokens, now)

    def restart(self, reason: str) -> None:
        """Forget the text."""
        self.restarts.append(reason)
        self.latencies.clear()
        self._rest = ""

    def end(self) -> None:
        self.ended_at = time.monotonic()
        self._count([self._rest], self._last_at)

    def _count(self, tokens: list[str], now: float) -> None:
        for token in filter(None, tokens):
            number, _, written = token.partition(":")
            if int(number) != len(self.latencies):
                raise AssertionError(f"token {number} came as number {len(self.latencies)}")
            if not self.latencies:
                self.first_at, self.first_written_at = now, float(written)
            self.latencies.append(now - float(written))


async def bare(http: aiohttp.ClientSession, url: str, number: int, wait: float) -> Seen:
    """One chat with the bare proxy, after so many seconds."""
    seen = Seen()
    await asyncio.sleep(wait)
    async with http.ws_connect(f"{url}/chat") as socket:
        seen.asked_at = time.monotonic()
        await socket.send_str(f"Question {number}")
        async for message in socket:
            frame = orjson.loads(message.data)
            if frame["type"] == "end":
                break
            seen.text(frame["text"])
    seen.end()
    return seen


async def _refused(errors: list[dict[str, Any]]) -> None:
    """Wait for as long as the refusal says. Raises where it says that it is for good."""
    extensions = errors[0]["extensions"]
    if "retryAfterMs" not in extensions:
        raise AssertionError(errors)
    REFUSALS[extensions["code"]] += 1
    await asyncio.sleep(extensions["retryAfterMs"] / 1_000)


class Person:
    """Somebody who is signed in to the product."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        self._http, self._url, self._token = http, url, token

    @classmethod
    async def sign_up(cls, http: aiohttp.ClientSession, url: str, name: str) -> Self:
        """The first person of a new organisation."""
        values = {"organization": name, "name": name, "email": f"{name}@example.test", "password": "a good password"}
        person = cls(http, url, "")
        person._token = (await person.query(SIGN_UP, values))["session"]["accessToken"]
        return person

    async def query(self, query: str, values: dict[str, Any]) -> dict[str, Any]:
        """The one field of a mutation's data. Raises AssertionError where it is a refusal."""
        (result,) = (await self.data(query, input=values)).values()
        if "code" in result:
            raise AssertionError(result)
        return result  # type: ignore[no-any-return]

    async def data(self, query: str, /, **variables: Any) -> dict[str, Any]:
        """What an operation gives. What is refused for now is asked again when it may be."""
        body = {"query": query, "variables": variables}
        while True:
            async with self._http.post(f"{self._url}/graphql", json=body, headers=self.headers) as response:
                found = json.loads(await response.read())
            if not found.get("errors"):
                return found["data"]  # type: ignore[no-any-return]
            await _refused(found["errors"])

    @property
    def headers(self) -> dict[str, str]:
        """By which requests are the person's."""
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    async def conversation(self) -> str:
        return (await self.query(START, {}))["conversation"]["id"]  # type: ignore[no-any-return]

    async def ask(self, conversation: str, number: int, ready: asyncio.Barrier, wait: float) -> Seen:
        """One chat: a socket that is open, then the question, then the answer's events to the terminal one."""
        seen = Seen()
        async with self._http.ws_connect(f"{self._url}/graphql", protocols=("graphql-transport-ws",)) as socket:
            init = {"type": "connection_init", "payload": {"authorization": f"Bearer {self._token}"}}
            await socket.send_json(init)
            await socket.receive()
            await ready.wait()
            await asyncio.sleep(wait)
            seen.asked_at = time.monotonic()
            sent = await self.query(SEND, {"conversationId": conversation, "text": f"Question {number}"})
            payload = {"query": ANSWER, "variables": {"id": sent["answer"]["id"]}}
            subscribe = {"id": "1", "type": "subscribe", "payload": payload}
            await socket.send_json(subscribe)
            expected = 1
            async for message in socket:
                frame = orjson.loads(message.data)
                if frame["type"] == "complete":
                    break
                if frame["type"] == "error":
                    await _refused(frame["payload"])
                    await socket.send_json(subscribe)
                    continue
                event = frame["payload"]["data"]["answer"]
                if event["__typename"] == "AnswerRestarted":
                    seen.restart(event["reason"])
                elif event.get("firstSequence", event["sequence"]) != expected:
                    raise AssertionError(f"{event} where {expected} was next")
                expected = event["sequence"] + 1
                if event["__typename"] == "AnswerDelta":
                    seen.text(event["text"])
                elif event["__typename"] == "AnswerCompleted":
                    seen.end()
                elif event["__typename"] == "AnswerFailed":
                    raise AssertionError(event["failure"])
        return seen
