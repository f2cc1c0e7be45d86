"""The log of an answer in Redis: append and publish in one round trip, refused to everyone but its owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from redis.asyncio import Redis

from core.ids import TenantId
from datastores import redis_keys
from datastores.answer_events import TERMINAL, Body, LogEvent, decode_event, encode_event

LEASE_MS = 6_000
RUNNING_LOG_TTL = 3_600
"""Seconds an unfinished log stays after its last event: a producer that dies leaves no garbage for ever."""

SLICE_BYTES = 32 * 1024
"""Read at once, and so held for a viewer that takes it slowly."""

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


# KEYS: log, meta. ARGV: generation or '', sequence after which, bytes. Answers false where there is no log, else its
# generation, whether it is another one (and so read from its beginning), whether there is more, and the events.
_READ = """
local generation = redis.call('HGET', KEYS[2], 'generation')
if not generation then return false end
local length = redis.call('LLEN', KEYS[1])
local position, other = tonumber(ARGV[2]), 0
if ARGV[1] == '' then
  position = 0
elseif ARGV[1] ~= generation or position > length then
  position, other = 0, 1
end
local answer, bytes = {generation, other, 0}, 0
while position < length and bytes < tonumber(ARGV[3]) do
  for _, event in ipairs(redis.call('LRANGE', KEYS[1], position, position + 63)) do
    if bytes < tonumber(ARGV[3]) then
      bytes = bytes + #event
      answer[#answer + 1] = event
      position = position + 1
    end
  end
end
if position < length then answer[3] = 1 end
return answer
"""

# KEYS: log, meta, log, meta … Answers the generation and the length of each log.
_TAILS = """
local answer = {}
for i = 1, #KEYS, 2 do
  answer[i] = redis.call('HGET', KEYS[i + 1], 'generation')
  answer[i + 1] = redis.call('LLEN', KEYS[i])
end
return answer
"""

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
    """What the log holds after a place, or the beginning of that: its generation and the events, in order."""

    generation: str
    events: list[LogEvent]
    restarts: bool
    """Whether the place that was asked for is not one of this log: then the events are from its beginning."""
    more: bool
    """Whether the log went on after them."""


class AnswerLog:
    """Reads and writes logs. One per process."""

    def __init__(self, redis: Redis, *, finished_ttl: int) -> None:
        self._redis = redis
        self._finished_ttl = finished_ttl
        self._append = redis.register_script(_APPEND)
        self._begin = redis.register_script(_BEGIN)
        self._hold = redis.register_script(_HOLD)
        self._drop = redis.register_script(_DROP)
        self._read = redis.register_script(_READ)
        self._tails = redis.register_script(_TAILS)

    async def begin(self, tenant_id: TenantId, answer_id: UUID, epoch: int, events: list[Body]) -> str:
        """Start a new generation with these events as 1, 2, 3 … and return its name. Raises `SupersededError`."""
        generation = uuid4().hex[:12]
        await self._run(self._begin, tenant_id, answer_id, epoch, generation, 1, events)
        return generation

    async def append(
        self, tenant_id: TenantId, answer_id: UUID, epoch: int, generation: str, sequence: int, events: list[Body]
    ) -> None:
        """Add events as `sequence`, `sequence + 1` … and publish them: one round trip.

        Raises `SupersededError` for an old epoch and `LogLostError` when the log's tail is not `sequence - 1`.
        """
        await self._run(self._append, tenant_id, answer_id, epoch, generation, sequence, events)

    async def read(
        self, tenant_id: TenantId, answer_id: UUID, generation: str | None, after: int, most_bytes: int = SLICE_BYTES
    ) -> LogSlice | None:
        """Events after number `after` of that generation, from the beginning when the log has no such place; None: no
        log. Ends with the event that makes it `most_bytes` or more."""
        found = await self._read(
            keys=[redis_keys.answer_log(tenant_id, answer_id), redis_keys.answer_meta(tenant_id, answer_id)],
            args=[generation or "", after, most_bytes],
        )
        if found is None:
            return None
        name, other, more, *raw = found
        events = [decode_event(data) for data in raw]
        return LogSlice(name.decode(), events, restarts=bool(other), more=bool(more))

    async def tails(self, answers: Sequence[tuple[TenantId, UUID]]) -> list[tuple[str | None, int]]:
        """For each answer, its log's generation (None: no log) and the number of its last event: one round trip."""
        keys = [key(*answer) for answer in answers for key in (redis_keys.answer_log, redis_keys.answer_meta)]
        found = await self._tails(keys=keys)
        return [(name and name.decode(), length) for name, length in zip(found[::2], found[1::2], strict=True)]

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
        outcome = await script(
            keys=[
                redis_keys.answer_log(tenant_id, answer_id),
                redis_keys.answer_meta(tenant_id, answer_id),
                redis_keys.answer_live(tenant_id, answer_id),
            ],
            args=[epoch, generation, sequence, ttl, *encoded],
        )
        if outcome == -1:
            raise SupersededError
        if outcome == -2:
            raise LogLostError
