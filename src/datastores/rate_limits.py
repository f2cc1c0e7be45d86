"""Rate limits that all processes share: one script, one round trip, by Redis's own clock."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from redis.asyncio import Redis

from core.own_time import others_within
from datastores.local_rate_limits import LocalRateLimiter, RecentRefusals, monotonic_us
from datastores.rates import Demand, Refusal, limits_in
from datastores.redis_circuit import RedisAwayError, RedisCircuit

AT_ONCE = 16
"""Connections of the process's pool that are taken at most: the answers' logs need the others."""

# Microseconds since 1970: far below 2^53, so that Lua's doubles hold them exactly.
_REDIS_CLOCK = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
"""

# KEYS: the subjects' times. ARGV: for each, its increment and its tolerance in microseconds.
# Answers: nil for admitted, else which key has to wait longest, and for how many microseconds.
# A time further ahead than the tolerance comes from a clock that was set back since, or a limit that was changed:
# nobody is to wait for that.
GCRA = """
local kept = redis.call('MGET', unpack(KEYS))
local paid_off, slowest, longest = {}, 0, 0
for i = 1, #KEYS do
  local increment, tolerance = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  paid_off[i] = math.min(math.max(tonumber(kept[i] or 0), now), now + tolerance) + increment
  local wait = paid_off[i] - now - tolerance
  if wait > longest then slowest, longest = i, wait end
end
if slowest > 0 then return {slowest, longest} end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.0f', paid_off[i]), 'PX', math.ceil((paid_off[i] - now) / 1000))
end
return nil
"""
"""The decision, without its clock: it wants `now` in microseconds."""


class RateLimiter:
    """Admits or refuses. One per process.

    While Redis is away each process limits by itself, at the same rates: with `n` processes a subject may then take up
    to `n` times as much, and a burst more at the change.
    """

    def __init__(self, redis: Redis, circuit: RedisCircuit) -> None:
        self._script = redis.register_script(_REDIS_CLOCK + GCRA)
        self._circuit = circuit
        self._local = LocalRateLimiter()
        self._refusals = RecentRefusals()
        # So much longer that, when Redis hangs, whoever waits hears of it by the circuit. Two limits around one another
        # could expire together, and the inner one's would be lost.
        self._turn_seconds = circuit.answer_seconds * 1.25
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def take(self, *demands: Demand) -> Refusal | None:
        """Admit all demands and count them, or refuse and count none: one round trip.

        A Redis that hangs costs 200 ms, one that is slow for so many at once that they wait for their turns 450 ms.

        What was refused is refused again without a round trip until its time has come. Each pair of limit and subject
        may be there once, else ValueError.
        """
        if not demands:
            return None
        keys = limits_in(demands)
        asked = tuple(zip(keys, (demand.cost for demand in demands), strict=True))
        known = self._refusals.find(asked)
        if known is not None:
            return known
        try:
            async with others_within(self._turn_seconds):
                await self._turns.acquire()
        except TimeoutError:
            return self._local.take(*demands)
        try:
            # Of a thousand that came together, only those whose like has not been refused meanwhile need to ask.
            return self._refusals.find(asked) or await self._decide(demands, keys, asked)
        except RedisAwayError:
            return self._local.take(*demands)
        finally:
            self._turns.release()

    async def _decide(self, demands: tuple[Demand, ...], keys: list[str], asked: Hashable) -> Refusal | None:
        arguments = [number for demand in demands for number in (demand.increment_us, demand.limit.tolerance_us)]
        asked_at = monotonic_us()
        outcome = await self._circuit.run(lambda: self._script(keys=keys, args=arguments))
        if outcome is None:
            return None
        slowest, wait_us = outcome
        limit = demands[slowest - 1].limit.name
        self._refusals.add(asked, limit, asked_at + wait_us)
        return Refusal.after(limit, wait_us)
