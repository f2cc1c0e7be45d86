"""A GraphQL socket that says what a test scripts, and notes when it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

BROKE = 1011
Script = Sequence[dict[str, Any]]
"""What follows a `subscribe`, of a connection, which the client closes after `complete` or `error`; else 1011 does."""


def answer_event(kind: str, cursor: str, **fields: Any) -> dict[str, Any]:
    """A `next` with one event of an answer."""
    event = {"__typename": kind, "cursor": cursor, **fields}
    return {"id": "1", "type": "next", "payload": {"data": {"answer": event}}}


def refusal(code: str, message: str, **extensions: Any) -> dict[str, Any]:
    """An `error`."""
    return {"id": "1", "type": "error", "payload": [{"message": message, "extensions": {"code": code, **extensions}}]}


COMPLETE: dict[str, Any] = {"id": "1", "type": "complete"}


@asynccontextmanager
async def scripted_socket(*scripts: Script) -> AsyncIterator[tuple[int, list[tuple[float, Any]]]]:
    """The port, and when (seconds) and after which cursor somebody subscribed: one script to a connection."""
    asked: list[tuple[float, Any]] = []

    async def api(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(json.dumps({"type": "connection_ack"}))
        subscribed = json.loads(await socket.recv())
        asked.append((asyncio.get_running_loop().time(), subscribed["payload"]["variables"]["after"]))
        script = scripts[len(asked) - 1]
        for message in script:
            await socket.send(json.dumps(message))
        if not script or script[-1]["type"] == "next":
            await socket.close(BROKE)
        await socket.wait_closed()

    async with serve(api, "127.0.0.1", 0, subprotocols=["graphql-transport-ws"]) as server:  # type: ignore[list-item]
        yield next(iter(server.sockets)).getsockname()[1], asked
