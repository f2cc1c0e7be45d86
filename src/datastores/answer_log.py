"""The log of an answer in Redis: append and publish in one round trip, refused to everyone but its owner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID, uuid4

from redis.asyncio import Redis

from core.ids import TenantId
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

LEASE_MS = 6_000
RUNNING_LOG_TTL = 3_600
"""Seconds an unfinished log stays after its last event: a producer that dies leaves no garbage for ever."""

# KEYS: log, meta, channel. ARGV: epoch, generation, sequence of the first event, ttl, event…
# Answers: 1 appended, -1 the epoch is old, -2 the log is lost or its tail is not ours.
_APPEND = """
local owner = redis.call('HMGET', KEYS[2], 'epoch', 'generation')
if owner[1] and tonumber(owner[1]) > tonumber(ARGV[1]) then return -1 end
if owner[2] ~= ARGV[2] or redis.call('LLEN', KEYS[1]) ~= tonumber(ARGV[3]) - 1 then return -2 end
for i = 5, #ARGV do
  redis.call('RPUSH', KEYS[1], ARGV[i])
  redis.call('PUBLISH', KEYS[3], ARGV[i])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 1
"""

# The same arguments; the events become the whole log of a new generation.
_BEGIN = """
local epoch = redis.call('HGET', KEYS[2], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then return -1 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[2], 'epoch', ARGV[1], 'generation', ARGV[2])
for i = 5, #ARGV do
  redis.call('RPUSH', KEYS[1], ARGV[i])
  redis.call('PUBLISH', KEYS[3], ARGV[i])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 1
"""

# The first word of an answer that nobody had begun. ARGV: epoch, generation, ttl, the event as number 1 of it, the same
# as number 2 behind QUEUED. Answers: 1 or 2, as which it was added; -1 the epoch is old.
_OPEN = """
local owner = redis.call('HMGET', KEYS[2], 'epoch', 'generation')
if owner[1] and tonumber(owner[1]) > tonumber(ARGV[1]) then return -1 end
local queued = owner[1] == '0' and owner[2] == 'queued' and redis.call('LLEN', KEYS[1]) == 1
if not queued then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[2], 'epoch', ARGV[1], 'generation', queued and 'queued' or ARGV[2])
redis.call('RPUSH', KEYS[1], ARGV[queued and 5 or 4])
redis.call('PUBLISH', KEYS[3], ARGV[queued and 5 or 4])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return queued and 2 or 1
"""

# Where there is no log yet. ARGV: ttl, the event that says QUEUED.
_QUEUE = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[2], 'epoch', '0', 'generation', 'queued')
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('PUBLISH', KEYS[3], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 1
"""
QUEUED = "queued"
"""The generation of a log that begins before anybody has begun the answer. Every such log begins with the same event,
so one that is lost and made again is the same one."""
_WAITING: Final = Step(AnswerStepKind.QUEUED)

# KEYS: lease. ARGV: epoch, milliseconds. An old epoch neither takes nor drops a newer one's lease.
_HOLD = """
local holder = redis.call('GET', KEYS[1])
if holder and tonumber(holder) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_DROP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class SupersededError(Exception):
    """Another attempt owns the answer: stop writing."""


class LogLostError(Exception):
    """The log is gone or not what this producer wrote: begin a new generation, if the answer is still ours."""


@dataclass(frozen=True, slots=True)
class LogSlice:
    """What the log holds after a place: its generation and the events, in order."""

    generation: str
    events: list[LogEvent]
    restarts: bool
    """Whether the place that was asked for is not one of this log: then the events are all of it."""


class AnswerLog:
    """Reads and writes logs. One per process."""

    def __init__(self, redis: Redis, *, finished_ttl: int) -> None:
        self._redis = redis
        self._finished_ttl = finished_ttl
        self._append = redis.register_script(_APPEND)
        self._begin = redis.register_script(_BEGIN)
        self._open = redis.register_script(_OPEN)
        self._queue = redis.register_script(_QUEUE)
        self._hold = redis.register_script(_HOLD)
        self._drop = redis.register_script(_DROP)

    async def begin(self, tenant_id: TenantId, answer_id: UUID, epoch: int, events: list[Body]) -> str:
        """Start a new generation with these events as 1, 2, 3 … and return its name. Raises `SupersededError`."""
        generation = _new_generation()
        await self._run(self._begin, tenant_id, answer_id, epoch, generation, 1, events)
        return generation

    async def queue(self, tenant_id: TenantId, answer_id: UUID) -> None:
        """Tell followers that the answer waits for its turn. Harmless where they have heard more."""
        waiting = encode_event(QUEUED, 1, _WAITING)
        await self._queue(keys=_keys(tenant_id, answer_id), args=[RUNNING_LOG_TTL, waiting])

    async def open(self, tenant_id: TenantId, answer_id: UUID, epoch: int, first: Body) -> tuple[str, int]:
        """Add an answer's first word, behind `queue`'s where that was told: the generation, and the word's number.

        Raises `SupersededError`.
        """
        generation = _new_generation()
        placed = await self._open(
            keys=_keys(tenant_id, answer_id),
            args=[
                epoch,
                generation,
                RUNNING_LOG_TTL,
                encode_event(generation, 1, first),
                encode_event(QUEUED, 2, first),
            ],
        )
        if placed == -1:
            raise SupersededError
        return (QUEUED, 2) if placed == 2 else (generation, 1)

    async def stop_queued(self, tenant_id: TenantId, answer_id: UUID) -> None:
        """Tell followers that an answer was stopped before anybody began it. Raises `SupersededError`."""
        await self._run(self._begin, tenant_id, answer_id, 0, QUEUED, 1, [_WAITING, Stopped(answer_id)])

    async def said(self, tenant_id: TenantId, answer_id: UUID) -> list[Cited | Delta]:
        """Text and citations of the newest attempt, as far as its log has them."""
        found: list[Cited | Delta] = []
        log = await self.read(tenant_id, answer_id, None, 0)
        for event in log.events if log else ():
            if isinstance(event.body, Restarted):
                found.clear()
            elif isinstance(event.body, Cited | Delta):
                found.append(event.body)
        return found

    async def append(
        self, tenant_id: TenantId, answer_id: UUID, epoch: int, generation: str, sequence: int, events: list[Body]
    ) -> None:
        """Add events as `sequence`, `sequence + 1` … and publish them: one round trip.

        Raises `SupersededError` for an old epoch and `LogLostError` when the log's tail is not `sequence - 1`.
        """
        await self._run(self._append, tenant_id, answer_id, epoch, generation, sequence, events)

    async def read(self, tenant_id: TenantId, answer_id: UUID, generation: str | None, after: int) -> LogSlice | None:
        """Events after number `after` of that generation; all of them when the log has no such place; None: no log."""
        log, meta = redis_keys.answer_log(tenant_id, answer_id), redis_keys.answer_meta(tenant_id, answer_id)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hget(meta, "generation")
            pipe.llen(log)
            pipe.lrange(log, 0 if generation is None else after, -1)
            current, length, raw = await pipe.execute()
        if current is None:
            return None
        name = cast("bytes", current).decode()
        if generation is not None and (name != generation or after > length):
            whole = await self.read(tenant_id, answer_id, None, 0)
            return whole and LogSlice(whole.generation, whole.events, restarts=True)
        return LogSlice(name, [decode_event(data) for data in raw], restarts=False)

    async def hold_lease(self, tenant_id: TenantId, answer_id: UUID, epoch: int) -> None:
        """Say that the producer of this epoch is alive, for `LEASE_MS`."""
        await self._hold(keys=[redis_keys.answer_lease(tenant_id, answer_id)], args=[epoch, LEASE_MS])

    async def drop_lease(self, tenant_id: TenantId, answer_id: UUID, epoch: int) -> None:
        """Say that this epoch produces the answer no longer; a newer epoch's lease stays."""
        await self._drop(keys=[redis_keys.answer_lease(tenant_id, answer_id)], args=[epoch])

    async def leased(self, answers: list[tuple[TenantId, UUID]]) -> list[bool]:
        """For each answer, whether a producer holds its lease: one round trip."""
        if not answers:
            return []
        values = await self._redis.mget([redis_keys.answer_lease(*answer) for answer in answers])
        return [value is not None for value in values]

    async def _run(
        self,
        script: Any,
        tenant_id: TenantId,
        answer_id: UUID,
        epoch: int,
        generation: str,
        sequence: int,
        events: list[Body],
    ) -> None:
        ttl = self._finished_ttl if events and isinstance(events[-1], TERMINAL) else RUNNING_LOG_TTL
        encoded = [encode_event(generation, sequence + offset, body) for offset, body in enumerate(events)]
        outcome = await script(keys=_keys(tenant_id, answer_id), args=[epoch, generation, sequence, ttl, *encoded])
        if outcome == -1:
            raise SupersededError
        if outcome == -2:
            raise LogLostError


def _keys(tenant_id: TenantId, answer_id: UUID) -> list[str]:
    return [
        redis_keys.answer_log(tenant_id, answer_id),
        redis_keys.answer_meta(tenant_id, answer_id),
        redis_keys.answer_live(tenant_id, answer_id),
    ]


def _new_generation() -> str:
    return uuid4().hex[:12]
