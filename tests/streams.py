"""A client of the two protocols that stream over HTTP, which reads what comes to the letter."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from product import Person

SSE = "text/event-stream"
MULTIPART = 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0,application/json'


@dataclass
class Piece:
    """One thing that the server said: `next`, `complete`, or `heartbeat`."""

    kind: str
    body: Any = None
    cursor: str | None = None

    @property
    def event(self) -> dict[str, Any]:
        """What the operation's one field was."""
        return next(iter(self.body["data"].values()))  # type: ignore[no-any-return]


@asynccontextmanager
async def streamed(
    person: Person, accept: str, query: str, variables: dict[str, Any] | None = None, **headers: str
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The response, whose body has not been read."""
    headers = {"accept": accept, "authorization": f"Bearer {person.token}"} | headers
    payload = {"query": query, "variables": variables or {}}
    async with person.product.http.post(
        f"{person.product.url}/graphql",
        json=payload,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    ) as response:
        yield response


def pieces(response: aiohttp.ClientResponse) -> AsyncIterator[Piece]:
    """What the server says, until the body ends."""
    if response.content_type == SSE:
        return _events(response)
    assert response.content_type == "multipart/mixed"
    return _parts(response)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Piece]:
    fields: dict[str, str] = {}
    async for line in response.content:
        text = line.decode().removesuffix("\n")
        if text:
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        if "event" in fields:
            data = fields.get("data")
            yield Piece(fields["event"], json.loads(data) if data else None, fields.get("id"))
        elif "" in fields:
            yield Piece("heartbeat")
        fields = {}


async def _parts(response: aiohttp.ClientResponse) -> AsyncIterator[Piece]:
    buffer, boundary = b"", b"\r\n--graphql"
    first = True
    async for chunk in response.content.iter_any():
        buffer += chunk
        while boundary in buffer:
            part, _, buffer = buffer.partition(boundary)
            if first:
                assert part == b"", "what comes before the first boundary"
                first = False
                continue
            head, _, body = part.partition(b"\r\n\r\n")
            assert head.strip().lower().startswith(b"content-type: application/json")
            said = json.loads(body)
            if said == {}:
                yield Piece("heartbeat")
            elif "errors" in said:
                yield Piece("fatal", said)
            else:
                yield Piece("next", said["payload"])
    if buffer.startswith(b"--"):
        yield Piece("complete")
