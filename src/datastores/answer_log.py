"""The log of an answer in Redis: append and publish in one round trip, refused to everyone but its owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid4

from redis.asyncio import Redis

from core.ids import TenantId
from datastores import answer_log_scripts as scripts
from datastores import redis_keys
from datastores.answer_events import (
    TERMINAL,
    AnswerStepKind,
    Body,
    Cited,
    Delta,
    LogEvent,
    Restarted,
    Step,
    Stopped,
    decode_event,
    encode_event,
)
from datastores.append_queue import AppendQueue
from datastores.redis_circuit import RedisCircuit
from datastores.redis_client import LOG_SECONDS

LEASE_MS = 6_000
RUNNING_LOG_TTL = 3_600
"""Seconds an unfinished log stays at least: a producer that dies leaves no garbage for ever."""
_RENEW_EVERY = 32
"""Events after which that time begins anew: not with each of them, which would be half of Redis's work."""

SLICE_BYTES = 32 * 1024
"""Read at once, and so held for a viewer that takes it slowly."""

QUEUED = "queued"
"""The generation of a log that begins before anybody has begun the answer. Every such log begins with the same event,
so one that is lost and made again is the same one."""
_WAITING: Final = Step(AnswerStepKind.QUEUED)


class SupersededError(Exception):
    """Another attempt owns the answer: stop writing."""


class LogLostError(Exception):
    """The log is gone or not what this producer wrote: begin a new generation, if the answer is still ours."""


@dataclass(frozen=True, slots=True)
class LogSlice:
    """What the log holds after a place, or the beginning of that: its generation and the events, in order."""

    generation: str
    events: list[LogEvent]
    restarts: bool
    """Whether the place that was asked for is not one of this log: then the events are from its beginning."""
    more: bool
    """Whether the log went on after them."""


class AnswerLog:
    """Reads and writes logs. One per process.

    Every method takes `LOG_SECONDS` at most, and while Redis is away nearly all of them no time: they raise
    `RedisAwayError`. What was asked for may be done all the same, as late as Redis wakes. That is why each log is one
    producer's generation: a late append finds its generation and its tail, or is refused; a late beginning makes the
    next append find another generation than its own, and begin again.
    """

    def __init__(self, redis: Redis, *, finished_ttl: int) -> None:
        self._redis = redis
        self._finished_ttl = finished_ttl
        self._circuit = RedisCircuit(answer_seconds=LOG_SECONDS, told="redis_away_answers_stay_in_memory")
        self._appends = AppendQueue(redis, self._circuit)
        self._begin = redis.register_script(scripts.BEGIN)
        self._open = redis.register_script(scripts.OPEN)
        self._queue = redis.register_script(scripts.QUEUE)
        self._hold = redis.register_script(scripts.HOLD)
        self._drop = redis.register_script(scripts.DROP)
        self._read = redis.register_script(scripts.READ)
        self._tails = redis.register_script(scripts.TAILS)

    async def begin(self, tenant_id: TenantId, answer_id: UUID, epoch: int, events: list[Body]) -> str:
        """Start a new generation with these events as 1, 2, 3 … and return its name. Raises `SupersededError`."""
        generation = _new_generation()
        await self._begin_with(tenant_id, answer_id, epoch, generation, events)
        return generation

    async def queue(self, tenant_id: TenantId, answer_id: UUID) -> None:
        """Tell followers that the answer waits for its turn. Harmless where they have heard more."""
        waiting = encode_event(QUEUED, 1, _WAITING)
        keys = _keys(tenant_id, answer_id)
        await self._circuit.ask(lambda: self._queue(keys=keys, args=[RUNNING_LOG_TTL, waiting]))

    async def open(self, tenant_id: TenantId, answer_id: UUID, epoch: int, first: Body) -> tuple[str, int]:
        """Add an answer's first word, behind `queue`'s where that was told: the generation, and the word's number.

        Raises `SupersededError`.
        """
        generation = _new_generation()
        encoded = [encode_event(generation, 1, first), encode_event(QUEUED, 2, first)]
        keys = _keys(tenant_id, answer_id)
        arguments: list[str | bytes | int] = [epoch, generation, RUNNING_LOG_TTL, *encoded]
        placed = await self._circuit.ask(lambda: self._open(keys=keys, args=arguments))
        if placed == -1:
            raise SupersededError
        return (QUEUED, 2) if placed == 2 else (generation, 1)

    async def stop_queued(self, tenant_id: TenantId, answer_id: UUID) -> None:
        """Tell followers that an answer was stopped before anybody began it. Raises `SupersededError`."""
        await self._begin_with(tenant_id, answer_id, 0, QUEUED, [_WAITING, Stopped(answer_id)])

    async def said(self, tenant_id: TenantId, answer_id: UUID) -> list[Cited | Delta]:
        """Text and citations of the newest attempt, as far as its log has them."""
        found: list[Cited | Delta] = []
        generation, after = None, 0
        while (log := await self.read(tenant_id, answer_id, generation, after)) is not None:
            for event in log.events:
                if isinstance(event.body, Restarted):
                    found.clear()
                elif isinstance(event.body, Cited | Delta):
                    found.append(event.body)
            if not log.more:
                break
            generation, after = log.generation, log.events[-1].sequence
        return found

    async def append(
        self, tenant_id: TenantId, answer_id: UUID, epoch: int, generation: str, sequence: int, events: list[Body]
    ) -> None:
        """Add events as `sequence`, `sequence + 1` … and publish them: one round trip, with other answers' appends.

        Raises `SupersededError` for an old epoch and `LogLostError` when the log's tail is not `sequence - 1`.
        """
        last = sequence + len(events) - 1
        if isinstance(events[-1], TERMINAL):
            ttl = self._finished_ttl
        else:
            ttl = RUNNING_LOG_TTL if last // _RENEW_EVERY != (sequence - 1) // _RENEW_EVERY else 0
        encoded = [encode_event(generation, number, body) for number, body in enumerate(events, start=sequence)]
        _raise_refusal(
            await self._appends.append(
                _keys(tenant_id, answer_id), (epoch, generation, sequence, ttl, len(encoded), *encoded)
            )
        )

    async def read(
        self, tenant_id: TenantId, answer_id: UUID, generation: str | None, after: int, most_bytes: int = SLICE_BYTES
    ) -> LogSlice | None:
        """Events after number `after` of that generation, from the beginning when the log has no such place; None: no
        log. Ends with the event that makes it `most_bytes` or more."""
        keys = _keys(tenant_id, answer_id)[:2]
        arguments: list[str | int] = [generation or "", after, most_bytes]
        found = await self._circuit.ask(lambda: self._read(keys=keys, args=arguments))
        if found is None:
            return None
        name, other, more, *raw = found
        events = [decode_event(data) for data in raw]
        return LogSlice(name.decode(), events, restarts=bool(other), more=bool(more))

    async def tails(self, answers: Sequence[tuple[TenantId, UUID]]) -> list[tuple[str | None, int]]:
        """For each answer, its log's generation (None: no log) and the number of its last event: one round trip."""
        keys = [key(*answer) for answer in answers for key in (redis_keys.answer_log, redis_keys.answer_meta)]
        found = await self._circuit.ask(lambda: self._tails(keys=keys))
        return [(name and name.decode(), length) for name, length in zip(found[::2], found[1::2], strict=True)]

    async def hold_lease(self, tenant_id: TenantId, answer_id: UUID, epoch: int) -> None:
        """Say that the producer of this epoch is alive, for `LEASE_MS`."""
        keys = [redis_keys.answer_lease(tenant_id, answer_id)]
        await self._circuit.ask(lambda: self._hold(keys=keys, args=[epoch, LEASE_MS]))

    async def drop_lease(self, tenant_id: TenantId, answer_id: UUID, epoch: int) -> None:
        """Say that this epoch produces the answer no longer; a newer epoch's lease stays."""
        keys = [redis_keys.answer_lease(tenant_id, answer_id)]
        await self._circuit.ask(lambda: self._drop(keys=keys, args=[epoch]))

    async def leased(self, answers: list[tuple[TenantId, UUID]]) -> list[bool]:
        """For each answer, whether a producer holds its lease: one round trip."""
        if not answers:
            return []
        keys = [redis_keys.answer_lease(*answer) for answer in answers]
        values = await self._circuit.ask(lambda: self._redis.mget(keys))
        return [value is not None for value in values]

    async def _begin_with(
        self, tenant_id: TenantId, answer_id: UUID, epoch: int, generation: str, events: list[Body]
    ) -> None:
        ttl = self._finished_ttl if events and isinstance(events[-1], TERMINAL) else RUNNING_LOG_TTL
        encoded = [encode_event(generation, number, body) for number, body in enumerate(events, start=1)]
        keys = _keys(tenant_id, answer_id)
        arguments: list[str | bytes | int] = [epoch, generation, 1, ttl, *encoded]
        _raise_refusal(await self._circuit.ask(lambda: self._begin(keys=keys, args=arguments)))


@lru_cache(maxsize=1_024)
def _keys(tenant_id: TenantId, answer_id: UUID) -> tuple[str, str, str]:
    """Log, meta and channel; remembered, because an answer needs them for each append."""
    return (
        redis_keys.answer_log(tenant_id, answer_id),
        redis_keys.answer_meta(tenant_id, answer_id),
        redis_keys.answer_live(tenant_id, answer_id),
    )


def _raise_refusal(outcome: int) -> None:
    if outcome == -1:
        raise SupersededError
    if outcome == -2:
        raise LogLostError


def _new_generation() -> str:
    return uuid4().hex[:12]
