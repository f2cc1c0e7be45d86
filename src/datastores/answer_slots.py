"""How many answers a tenant may have written at once, counted over all processes."""

from __future__ import annotations

import time
from uuid import UUID

from redis.asyncio import Redis

from core.ids import TenantId
from datastores import redis_keys
from datastores.rates import Refusal
from datastores.redis_circuit import RedisAwayError, RedisCircuit

SLOT_LEASE_MS = 6_000
"""A slot whose holder is not heard of for that long is free: renew it every two seconds."""
SLOT_RETRY_MS = 1_000
"""What a refused one is told to wait: nobody knows when an answer will be finished."""
SLOTS = "concurrent-answers"
"""The limit's name in a refusal."""

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

# KEYS: the tenant's holders, and those who wait, by the end of their leases, in milliseconds since 1970.
# ARGV: holder, lease, most at once, 1 for one that waits if it must. Answers: 1 has a slot, 0 there is none free.
# A lease that is longer than any can be is of a clock that was set back.
_ACQUIRE = (
    _NOW
    + """
for _, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  redis.call('ZREMRANGEBYSCORE', key, '(' .. string.format('%.0f', now + ARGV[2]), '+inf')
end
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  local waits = ARGV[4] == '1'
  local ahead = waits and 0 or redis.call('ZCARD', KEYS[2])
  if redis.call('ZCARD', KEYS[1]) + ahead >= tonumber(ARGV[3]) then
    if waits then
      redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
      redis.call('PEXPIRE', KEYS[2], ARGV[2])
    end
    return 0
  end
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
)
_RENEW = (
    _NOW
    + """
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
)


class AnswerSlots:
    """Gives out a tenant's slots. One per process.

    While Redis is away each process counts its own holders against the same number.
    """

    def __init__(self, redis: Redis, circuit: RedisCircuit, *, per_tenant: int) -> None:
        self._redis = redis
        self._circuit = circuit
        self._per_tenant = per_tenant
        self._acquire = redis.register_script(_ACQUIRE)
        self._renew = redis.register_script(_RENEW)
        # Kept up to date also while Redis is there: what runs when it goes away is counted.
        self._own = _OwnHolders()

    async def acquire(self, tenant_id: TenantId, holder: UUID) -> Refusal | None:
        """Take a slot for `SLOT_LEASE_MS`; for a holder that has one, renew it. Whoever waits comes first."""
        free = await self._take(tenant_id, holder, waits=False)
        return None if free else Refusal(SLOTS, SLOT_RETRY_MS)

    async def acquire_or_wait(self, tenant_id: TenantId, holder: UUID) -> bool:
        """Whether it has a slot now. If not, the next free one is not given to a newcomer for `SLOT_LEASE_MS`: ask
        again every two seconds."""
        return await self._take(tenant_id, holder, waits=True)

    def holds(self, holder: UUID) -> bool:
        """Whether this process has taken a slot for the holder whose lease still runs."""
        return self._own.has(holder)

    async def _take(self, tenant_id: TenantId, holder: UUID, *, waits: bool) -> bool:
        keys = [redis_keys.answer_slots(tenant_id), redis_keys.answer_waits(tenant_id)]
        arguments: list[str | int] = [holder.hex, SLOT_LEASE_MS, self._per_tenant, int(waits)]
        try:
            free = bool(await self._circuit.run(lambda: self._acquire(keys=keys, args=arguments)))
        except RedisAwayError:
            free = self._own.has(holder) or self._own.count(tenant_id) < self._per_tenant
        if free:
            self._own.hold(tenant_id, holder)
        return free

    async def renew(self, tenant_id: TenantId, holder: UUID) -> None:
        """Say that the holder is at work, for another `SLOT_LEASE_MS`.

        One whose slot was lost, with Redis or by its lease, gets it back even if there is none free: it is at work.
        """
        self._own.hold(tenant_id, holder)
        key = redis_keys.answer_slots(tenant_id)
        try:
            await self._circuit.run(lambda: self._renew(keys=[key], args=[holder.hex, SLOT_LEASE_MS]))
        except RedisAwayError:
            return

    def forget(self, holder: UUID) -> None:
        """No longer count the holder as this process's: another one has its slot."""
        self._own.drop(holder)

    async def release(self, tenant_id: TenantId, holder: UUID) -> None:
        """Give the slot back; harmless for a holder without one. While Redis is away its lease does it there."""
        self._own.drop(holder)
        key = redis_keys.answer_slots(tenant_id)
        try:
            await self._circuit.run(lambda: self._redis.zrem(key, holder.hex))
        except RedisAwayError:
            return


class _OwnHolders:
    """The holders of this process, by the end of their lease."""

    def __init__(self) -> None:
        self._leases: dict[UUID, tuple[TenantId, float]] = {}

    def hold(self, tenant_id: TenantId, holder: UUID) -> None:
        """Begin or renew a lease."""
        self._forget_ended()
        self._leases.pop(holder, None)  # so that the order of insertion is that of the leases' ends
        self._leases[holder] = (tenant_id, time.monotonic() + SLOT_LEASE_MS / 1_000)

    def drop(self, holder: UUID) -> None:
        """End a lease, if there is one."""
        self._leases.pop(holder, None)

    def has(self, holder: UUID) -> bool:
        """Whether this holder's lease runs."""
        self._forget_ended()
        return holder in self._leases

    def count(self, tenant_id: TenantId) -> int:
        """Leases of this tenant that run."""
        self._forget_ended()
        return sum(tenant == tenant_id for tenant, _ in self._leases.values())

    def _forget_ended(self) -> None:
        now = time.monotonic()
        while self._leases:
            holder = next(iter(self._leases))
            if self._leases[holder][1] > now:
                return
            del self._leases[holder]
