"""The appends of all answers of a process, sent together: one round trip is under way, the next one gathers meanwhile.

An append by itself costs about 200 us of processor time in redis-py: a connection taken from the pool, looked at and
given back, a command packed in Python, a reply with a timer of its own. So this has one connection for itself, packs
with hiredis, and a round trip is one call of one script, whatever it carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis.asyncio import Connection, Redis
from redis.exceptions import NoScriptError

from datastores.redis_circuit import RedisCircuit

# KEYS: for each append its log, meta and channel. ARGV: for each append epoch, generation, sequence of its first
# event, ttl (0: as it was), number of events, event …
# Answers, for each: 1 appended, -1 the epoch is old, -2 the log is lost or its tail is not the event before.
_APPEND_ALL = """
local outcomes, at = {}, 1
for n = 1, #KEYS / 3 do
  local log, meta, live = KEYS[3 * n - 2], KEYS[3 * n - 1], KEYS[3 * n]
  local last = at + 4 + tonumber(ARGV[at + 4])
  local owner = redis.call('HMGET', meta, 'epoch', 'generation')
  if owner[1] and tonumber(owner[1]) > tonumber(ARGV[at]) then
    outcomes[n] = -1
  elseif owner[2] ~= ARGV[at + 1] or redis.call('LLEN', log) ~= tonumber(ARGV[at + 2]) - 1 then
    outcomes[n] = -2
  else
    for i = at + 5, last do
      redis.call('RPUSH', log, ARGV[i])
      redis.call('PUBLISH', live, ARGV[i])
    end
    if ARGV[at + 3] ~= '0' then
      redis.call('EXPIRE', log, ARGV[at + 3])
      redis.call('EXPIRE', meta, ARGV[at + 3])
    end
    outcomes[n] = 1
  end
  at = last + 1
end
return outcomes
"""
_MOST_AT_ONCE = 128
"""Appends of one round trip, so that Redis, which does one thing at a time, is held up for a millisecond at most."""
_Append = tuple[Sequence[str], Sequence[Any], asyncio.Future[int]]


class AppendQueue:
    """One per process. Its task lives for as long as something waits; its connection is closed with its client."""

    def __init__(self, redis: Redis, circuit: RedisCircuit) -> None:
        self._redis, self._circuit = redis, circuit
        self._sha = redis.register_script(_APPEND_ALL).sha
        self._waiting: list[_Append] = []
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None

    async def append(self, keys: Sequence[str], arguments: Sequence[Any]) -> int:
        """What the script says of this append. Raises what redis-py raises, and `RedisAwayError`.

        Whoever is cancelled, or is told that Redis did not answer, does not know whether it has been done, or will be:
        a Redis that hangs carries out what it was sent when it wakes.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[int] = loop.create_future()
        self._waiting.append((keys, arguments, outcome))
        if self._task is None:
            self._task = loop.create_task(self._send(), name="append-queue")
        return await outcome

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
                await self._send_batch(batch)
        finally:
            self._task = None

    async def _send_batch(self, batch: list[_Append]) -> None:
        try:
            outcomes = await self._circuit.ask(lambda: self._run(batch))
        except BaseException as error:
            # Also when this task is cancelled: nobody may wait for ever.
            told = error if isinstance(error, Exception) else ConnectionError("the process is closing")
            for _, _, outcome in batch:
                if not outcome.done():
                    outcome.set_exception(told)
            if told is not error:
                raise
            return
        for (_, _, waiting), answer in zip(batch, outcomes, strict=True):
            if not waiting.done():
                waiting.set_result(answer)

    async def _run(self, batch: list[_Append]) -> list[int]:
        keys = [key for keys, _, _ in batch for key in keys]
        arguments = [argument for _, arguments, _ in batch for argument in arguments]
        try:
            return await self._call("EVALSHA", self._sha, len(keys), *keys, *arguments)
        except NoScriptError:
            # A Redis that is new, or has been restarted: it learns the text.
            return await self._call("EVAL", _APPEND_ALL, len(keys), *keys, *arguments)

    async def _call(self, *words: Any) -> list[int]:
        if self._connection is None:
            self._connection = await self._redis.connection_pool.get_connection()
        connection = self._connection
        command = pack_command(words)

        async def exchange() -> list[int]:
            await connection.send_packed_command(command)
            outcomes: list[int] = await connection.read_response()
            return outcomes

        try:
            return await connection.retry.call_with_retry(exchange, lambda _: connection.disconnect())
        except asyncio.CancelledError:
            # The reply may come still, and the next batch must not take it for its own.
            await connection.disconnect(nowait=True)
            raise
