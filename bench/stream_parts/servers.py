"""The servers that are compared, each a process of its own: `python -m stream_parts.servers PEER PORT` (from bench/).

`product` is the whole product. `bare` is what one would write by hand: a Starlette WebSocket that sends on what comes
by Redis pub/sub. `stock` is Strawberry as it comes, with the product's event types and a resolver that is an async
generator. `bare` and `stock` share one Redis connection per process, too, for which `READER` chooses: `listen`,
redis-py's own loop, or `product`, the product's `LiveChannels`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import UUID

import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from app.asgi import create_app
from app.server import server_config
from core.ids import NodeKind, TenantId, parse_id
from core.settings import settings_from_environment
from datastores import redis_keys
from datastores.answer_events import decode_event
from datastores.live import LiveChannels
from datastores.redis_client import make_redis
from schema.events import AnswerEvent, as_answer_event

PING_SECONDS = 600
"""Of all servers: one that is flooded for a minute, as stock is, must not take its viewers for dead."""
PEERS = ("product", "bare", "stock")


class _Queue:
    """What one viewer has not taken yet."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()

    def push(self, data: bytes) -> None:
        self.messages.put_nowait(data)

    def mark_gap(self) -> None:
        raise AssertionError("Redis was lost in the middle of a measurement")


class _Listening:
    """redis-py's `listen`, on one connection for all viewers."""

    def __init__(self) -> None:
        self._pubsub = make_redis(settings_from_environment()).pubsub()
        self._queues: dict[bytes, list[_Queue]] = {}
        self._confirmed: dict[bytes, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        """Of two tasks that find redis-py without a connection each would open one."""

    async def join(self, channel: str, queue: _Queue) -> None:
        """Listen, once Redis says so."""
        name = channel.encode()
        queues = self._queues.setdefault(name, [])
        queues.append(queue)
        if len(queues) == 1:
            self._confirmed[name] = asyncio.Event()
            async with self._sending:
                await self._pubsub.subscribe(name)
                if self._task is None:
                    self._task = asyncio.create_task(self._listen())
        await self._confirmed[name].wait()

    async def _listen(self) -> None:
        async for message in self._pubsub.listen():
            if message["type"] == "message":
                for queue in self._queues[message["channel"]]:
                    queue.push(message["data"])
            elif message["type"] == "subscribe":
                self._confirmed[message["channel"]].set()


class _Live:
    """The product's way of listening."""

    def __init__(self) -> None:
        self._live = LiveChannels(make_redis(settings_from_environment()))
        self._started = False

    async def join(self, channel: str, queue: _Queue) -> None:
        """Listen, once Redis says so."""
        if not self._started:
            self._started = True
            await self._live.start()
        self._live.join(channel, queue)
        await self._live.confirmed(channel)


def _channel(answer_id: str) -> tuple[UUID, str]:
    wanted = parse_id(NodeKind.ANSWER, answer_id)
    return wanted, redis_keys.answer_live(TenantId(UUID(os.environ["TENANT"])), wanted)


def _reader() -> _Listening | _Live:
    return _Live() if os.environ.get("READER") == "product" else _Listening()


def bare() -> Starlette:
    """A loop for each viewer."""
    reader: list[_Listening | _Live] = []

    async def follow(socket: WebSocket) -> None:
        await socket.accept()
        if not reader:
            reader.append(_reader())
        queue = _Queue()
        await reader[0].join(_channel(socket.query_params["answer"])[1], queue)
        await socket.send_text("ready")
        while True:
            message = await queue.messages.get()
            await socket.send_text(message.decode())
            if b'"t":"Completed"' in message:
                break
        await socket.receive()

    return Starlette(routes=[WebSocketRoute("/graphql", follow)])


@strawberry.type
class _Query:
    hello: str = "there"


_stock_reader: list[_Listening | _Live] = []


@strawberry.type(name="Subscription")
class _Subscription:
    @strawberry.subscription
    async def answer(self, id: strawberry.ID) -> AsyncGenerator[AnswerEvent, None]:
        """The same events as the product's, one by one."""
        if not _stock_reader:
            _stock_reader.append(_reader())
        answer_id, channel = _channel(id)
        queue = _Queue()
        await _stock_reader[0].join(channel, queue)
        yield as_answer_event(answer_id, decode_event(FIRST % answer_id.hex.encode()))
        while True:
            event = decode_event(await queue.messages.get())
            yield as_answer_event(answer_id, event)
            if event.terminal:
                return


FIRST = b'{"g":"bench","s":1,"t":"Started","answer_id":"%b","attempt":1}'


def stock() -> Starlette:
    """Strawberry's own view of a schema without extensions."""
    view: Any = GraphQL(
        strawberry.Schema(_Query, subscription=_Subscription), subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,)
    )
    return Starlette(routes=[WebSocketRoute("/graphql", view)])


def main(peer: str, port: int) -> None:
    """Serve until killed."""
    if peer == "product":
        settings = settings_from_environment()
        config = server_config(create_app(settings), settings)
    else:
        config = uvicorn.Config(
            {"bare": bare, "stock": stock}[peer](),
            port=port,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_ping_interval=PING_SECONDS,
            ws_ping_timeout=PING_SECONDS,
            log_config=None,
            access_log=False,
            lifespan="off",
        )
    config.backlog = 4_096
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
