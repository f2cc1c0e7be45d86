"""An answer whose log the test writes, event by event, and the sockets that watch it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import orjson

from app.server import server_config
from app.socket_protocol import EXTENSION
from core.ids import NodeKind, TenantId, new_id, to_global
from datastores import redis_keys
from datastores.answer_events import Body, Cited, encode_event
from datastores.answers import Claim, Outcome, answer_by_id, finish
from datastores.models import AnswerStatus
from datastores.questions import add_question
from owner import as_owner, uuid_of
from product import Person, Product, Server

WATCH = """subscription($id: ID!, $after: String) { answer(id: $id, after: $after) { __typename
  ... on StreamEvent { sequence cursor } ... on AnswerDelta { firstSequence text }
  ... on AnswerFailed { failure { code message retryable } } } }"""
EPOCH = 1


@dataclass
class HeldAnswer:
    """Unfinished as far as PostgreSQL knows, with a lease that does not end: nobody but the test writes its log."""

    person: Person
    id: str
    generation: str = ""
    sequence: int = 0

    @property
    def key(self) -> tuple[TenantId, UUID]:
        """As the product's insides name it."""
        return self.person.tenant_id, uuid_of(self.id)

    @property
    def shared(self) -> list[int]:
        """How many viewers share each encoding of its events, in its product's process."""
        return self.person.product.services.topics.shared(*self.key)

    async def begin(self, *bodies: Body) -> None:
        """Begin a generation of the log."""
        log = self.person.product.services.answer_log
        self.generation = await log.begin(*self.key, EPOCH, list(bodies))
        self.sequence = len(bodies)

    async def append(self, *bodies: Body) -> None:
        """What the producer does."""
        log = self.person.product.services.answer_log
        await log.append(*self.key, EPOCH, self.generation, self.sequence + 1, list(bodies))
        self.sequence += len(bodies)

    async def append_raw(self, kind: str, **fields: Any) -> None:
        """An event as no producer of ours would write it."""
        self.sequence += 1
        data = orjson.dumps({"g": self.generation, "s": self.sequence, "t": kind, **fields})
        async with self.person.product.services.redis.pipeline() as pipe:
            pipe.rpush(redis_keys.answer_log(*self.key), data)
            pipe.publish(redis_keys.answer_live(*self.key), data)
            await pipe.execute()

    async def publish(self, sequence: int, body: Body) -> None:
        """On the channel alone."""
        data = encode_event(self.generation, sequence, body)
        await self.person.product.services.redis.publish(redis_keys.answer_live(*self.key), data)

    async def log(self, body: Body) -> None:
        """In the log alone."""
        self.sequence += 1
        data = encode_event(self.generation, self.sequence, body)
        await self.person.product.services.redis.rpush(redis_keys.answer_log(*self.key), data)

    async def lose_log(self) -> None:
        """As Redis does, in the end."""
        keys = (redis_keys.answer_log(*self.key), redis_keys.answer_meta(*self.key))
        await self.person.product.services.redis.delete(*keys)

    async def finish(self, text: str = "", citations: Sequence[Cited] = ()) -> None:
        """As the producer does, before the terminal event."""
        outcome = Outcome(
            AnswerStatus.COMPLETED, text, list(citations), "local", "extractive", "stop", None, None, None, None, 1
        )
        async with self.person.product.services.postgres.write(self.person.tenant_id) as tx:
            stored = await answer_by_id(tx, self.key[1])
            assert stored is not None
            claim = Claim(self.key[1], stored.conversation_id, EPOCH)
            assert await finish(tx, claim, outcome, datetime.now(UTC))


async def hold_answer(person: Person) -> HeldAnswer:
    """An answer of the person's in the middle of its production, with an empty log."""
    services = person.product.services
    conversation = await person.conversation()
    answer = HeldAnswer(person, to_global(NodeKind.ANSWER, new_id()))
    await services.redis.set(redis_keys.answer_lease(*answer.key), EPOCH, ex=600)
    async with services.postgres.write(person.tenant_id) as tx:
        await add_question(
            tx,
            conversation_id=uuid_of(conversation),
            author_id=uuid_of(person.user_id),
            text="What is there to be said?",
            title="Said",
            idempotency_key=None,
            answer_id=answer.key[1],
        )
    await as_owner(
        services.settings, "UPDATE answers SET status = 'STREAMING', epoch = $1 WHERE id = $2", EPOCH, answer.key[1]
    )
    return answer


async def nobody_watches(answer: HeldAnswer) -> bool:
    """Whether no process listens to the answer."""
    ((_, count),) = await answer.person.product.services.redis.pubsub_numsub(redis_keys.answer_live(*answer.key))
    return not count


@dataclass
class Watcher:
    """A socket with many operations: what each was sent, to the letter."""

    socket: aiohttp.ClientWebSocketResponse
    frames: dict[str, list[str]] = field(default_factory=dict)

    async def subscribe(self, id: str, query: str, variables: dict[str, Any] | None = None, **payload: Any) -> None:
        """Begin an operation."""
        self.frames[id] = []
        payload |= {"query": query, "variables": variables or {}}
        await self.socket.send_json({"id": id, "type": "subscribe", "payload": payload})

    async def until(self, count: int, ids: set[str] | None = None) -> None:
        """Wait until these operations have been sent so many messages, or have ended."""
        async with asyncio.timeout(15):
            while not all(len(self.frames[id]) >= count or self.ended(id) for id in (ids or self.frames)):
                await self.receive()

    async def receive(self) -> dict[str, Any]:
        """The next message."""
        message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, (message, self.socket.close_code)
        parsed: dict[str, Any] = json.loads(message.data)
        self.frames[parsed["id"]].append(message.data)
        return parsed

    def ended(self, id: str) -> bool:
        """Whether the operation has."""
        return bool(self.frames[id]) and json.loads(self.frames[id][-1])["type"] in ("complete", "error")

    def events(self, id: str) -> list[dict[str, Any]]:
        """What the operation's one field was, event by event."""
        parsed = [json.loads(frame) for frame in self.frames[id]]
        return [next(iter(frame["payload"]["data"].values())) for frame in parsed if frame["type"] == "next"]


@asynccontextmanager
async def watching(person: Person, url: str | None = None) -> AsyncIterator[Watcher]:
    """A signed-in socket of the person's product, or of another process at that address."""
    address = f"{url or person.product.url}/graphql"
    async with person.product.http.ws_connect(address, protocols=("graphql-transport-ws",), max_msg_size=0) as socket:
        await socket.send_json({"type": "connection_init", "payload": {"authorization": f"Bearer {person.token}"}})
        assert (await socket.receive_json())["type"] == "connection_ack"
        yield Watcher(socket)


@asynccontextmanager
async def without_outlets(product: Product) -> AsyncIterator[str]:
    """Another address of the product, whose sockets have everything executed by graphql-core."""

    assert product.app is not None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"].pop(EXTENSION)
        await product.app({**scope, "app": product.app}, receive, send)

    config = server_config(app, product.settings, grace_seconds=1)  # type: ignore[arg-type]
    config.lifespan = "off"
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    await server.ready.wait()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
