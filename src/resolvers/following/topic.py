"""An answer as this process hears it: decoded once for all its viewers, and encoded once for all who want the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import Context
from typing import Protocol
from uuid import UUID

import structlog

from core.ids import TenantId
from datastores import redis_keys
from datastores.answer_events import LogEvent, decode_event
from datastores.answer_log import AnswerLog
from datastores.live import LiveChannels
from datastores.postgres import Postgres
from resolvers.following.outlet import Encoder
from resolvers.following.past import AnswerPast, Page, Place

log = structlog.get_logger(__name__)


class Listener(Protocol):
    """A viewer, as its topic knows it. The methods must not wait."""

    @property
    def standing(self) -> Place | None:
        """The place that it has come to; None while it reads, or does not wait for what is live."""
        ...

    def hear(self, event: LogEvent, encoded: bytes | None) -> None:
        """An event of the answer, in whatever order it came; `encoded` by the encoder it has joined with."""
        ...

    def look(self) -> None:
        """Something may have been missed: what comes next must be read."""
        ...


class AnswerTopic:
    """The viewers of one answer in this process, by what they want of an event."""

    __slots__ = (
        "_audiences",
        "_channel",
        "_past",
        "_reading",
        "_topics",
        "answer_id",
        "heard",
        "heard_at",
        "key",
    )

    def __init__(self, topics: AnswerTopics, tenant_id: TenantId, answer_id: UUID) -> None:
        self.answer_id = answer_id
        self.heard = 0
        """Messages so far."""
        self._topics = topics
        self.key = (tenant_id, answer_id)
        self._channel = redis_keys.answer_live(tenant_id, answer_id)
        self._past = AnswerPast(topics.log, topics.postgres, tenant_id, answer_id)
        self._audiences: dict[Encoder | None, dict[Listener, None]] = {}
        self._reading: dict[Place, tuple[int, asyncio.Task[Page]]] = {}
        self.heard_at = asyncio.get_running_loop().time()
        """When the last one came, or somebody looked whether there should have been one, by the loop's clock."""
        topics.live.join(self._channel, self)

    @property
    def shared(self) -> list[int]:
        """How many viewers share each encoding."""
        return [len(audience) for encoder, audience in self._audiences.items() if encoder is not None]

    def join(self, viewer: Listener, encoder: Encoder | None) -> None:
        """Have a viewer hear what is published from now on, as soon as `listening` says that we do."""
        self._audiences.setdefault(encoder, {})[viewer] = None

    def leave(self, viewer: Listener, encoder: Encoder | None) -> None:
        """The end of `join`; of the topic, too, when it was the last viewer."""
        audience = self._audiences[encoder]
        del audience[viewer]
        if audience:
            return
        del self._audiences[encoder]
        if not self._audiences:
            self._topics.live.leave(self._channel, self)
            self._topics.forget(*self.key)

    async def listening(self) -> None:
        """Wait, but not for long, until Redis has confirmed that we hear what is published."""
        await self._topics.live.confirmed(self._channel)

    async def after(self, place: Place, joined: int) -> Page:
        """What lies behind a viewer that stands there, and joined when so many messages had been heard.

        Viewers at one place share one reading, unless a message came after it began and before the viewer joined: that
        one might be neither in what was read nor heard by the viewer.
        """
        heard, reading = self._reading.get(place, (-1, None))
        if reading is None or reading.done() or heard < joined:
            # A context of its own: what is logged there belongs to no operation.
            reading = asyncio.get_running_loop().create_task(self._past.after(place), context=Context())
            self._reading[place] = (self.heard, reading)
            reading.add_done_callback(lambda task: self._read(place, task))
        return await asyncio.shield(reading)

    def push(self, data: bytes) -> None:
        """A message of the channel. Those who want the same of it share one encoding."""
        self.heard += 1
        self.heard_at = asyncio.get_running_loop().time()
        try:
            event = decode_event(data)
        except ValueError:
            log.warning("not an event", channel=self._channel)
            self.mark_gap()
            return
        for encoder, audience in tuple(self._audiences.items()):
            encoded = None if encoder is None else encoder(self.answer_id, event)
            for viewer in tuple(audience):
                viewer.hear(event, encoded)

    @property
    def standings(self) -> set[Place]:
        """Where the viewers wait that wait for what is live."""
        return {viewer.standing for viewer in self._viewers() if viewer.standing is not None}

    def mark_gap(self) -> None:
        """Messages may have been missed."""
        for viewer in tuple(self._viewers()):
            viewer.look()

    def _viewers(self) -> Iterator[Listener]:
        for audience in self._audiences.values():
            yield from audience

    def _read(self, place: Place, task: asyncio.Task[Page]) -> None:
        if self._reading.get(place, (0, None))[1] is task:
            del self._reading[place]
        if not task.cancelled():
            task.exception()  # told to whoever still waits for it


class AnswerTopics:
    """The answers that are followed in this process."""

    def __init__(self, live: LiveChannels, log: AnswerLog, postgres: Postgres) -> None:
        self.live, self.log, self.postgres = live, log, postgres
        self._topics: dict[tuple[TenantId, UUID], AnswerTopic] = {}

    def topic(self, tenant_id: TenantId, answer_id: UUID) -> AnswerTopic:
        """The one topic of an answer, which ends with its last viewer. Join it before anything is awaited."""
        key = (tenant_id, answer_id)
        if key not in self._topics:
            self._topics[key] = AnswerTopic(self, *key)
        return self._topics[key]

    def silent(self, seconds: float) -> list[AnswerTopic]:
        """Those that have heard nothing for so long."""
        since = asyncio.get_running_loop().time() - seconds
        return [topic for topic in self._topics.values() if topic.heard_at <= since]

    def shared(self, tenant_id: TenantId, answer_id: UUID) -> list[int]:
        """How many viewers share each encoding of an answer's events."""
        topic = self._topics.get((tenant_id, answer_id))
        return topic.shared if topic else []

    def forget(self, tenant_id: TenantId, answer_id: UUID) -> None:
        """The topic has no viewers any more."""
        del self._topics[tenant_id, answer_id]
