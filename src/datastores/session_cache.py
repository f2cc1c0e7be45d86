"""What Redis remembers of sessions. Losing it signs nobody out and nobody in: PostgreSQL is asked again."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import structlog
from redis.asyncio import Redis

from core.ids import TenantId
from core.own_time import others_within
from core.tasks import end_tasks
from datastores import redis_keys
from datastores.models import Role
from datastores.records import UserRecord
from datastores.redis_circuit import RedisCircuit
from datastores.redis_client import REDIS_ERRORS, REQUEST_SECONDS

VERIFY_SECONDS = 60
"""A copy is not trusted for longer, however often it is used: a change that could not be told ends here.

For so long after a change nothing is remembered, either, so that what was read just before it cannot be put back.
"""
AGAIN_SECONDS = 0.5
"""Between two tries to tell Redis of a change that it could not be told of."""
EVERYBODY = b"*"
"""Said on the tenant's channel instead of ids: there may be a million."""
# KEYS: a session's copy, its tenant's mark.
_GET = """
if redis.call('EXISTS', KEYS[2]) == 1 then return false end
local copy = redis.call('GET', KEYS[1])
if copy and copy ~= '' then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return copy
"""
_PUT = """
if redis.call('EXISTS', KEYS[2]) == 1 or redis.call('GET', KEYS[1]) == '' then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
# An empty copy, not none: it refuses a copy of what was read before the change. A full Redis refuses a script's SET
# only until the script has written something, and never a DEL (scriptVerifyOOM in Redis 7's script.c; so does 6.2).
_HOLD = """
for _, key in ipairs(KEYS) do
  redis.call('DEL', key)
  redis.call('SET', key, '', 'EX', ARGV[1])
end
"""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    """What these sessions of a tenant are good for, or (None) all of them, has changed in PostgreSQL."""

    tenant_id: TenantId
    session_ids: tuple[UUID, ...] | None
    until: float
    """By the monotonic clock: then nobody trusts a copy of before any more."""

    @property
    def ids(self) -> tuple[UUID, ...]:
        """Of what is not to be trusted: the sessions, or the tenant."""
        return (self.tenant_id,) if self.session_ids is None else self.session_ids

    @property
    def keys(self) -> list[str]:
        if self.session_ids is None:
            return [redis_keys.tenant_changed(self.tenant_id)]
        return [redis_keys.session(self.tenant_id, session_id) for session_id in self.session_ids]

    @property
    def words(self) -> bytes:
        return EVERYBODY if self.session_ids is None else b" ".join(one.hex.encode() for one in self.session_ids)


class SessionCache:
    """Copies of good sessions, each kept for `ttl` seconds after its last use.

    What has changed is told to Redis, where all processes share the copies. This process remembers it besides, so that
    it does not go by a copy that Redis could not be told to drop, and tells Redis until it is done. Nobody waits for
    that longer than `REQUEST_SECONDS` for each of the two things to tell.

    The circuit is asked for copies and for nothing else: a change is told whether or not Redis has answered of late.
    """

    def __init__(self, cache: Redis, live: Redis, circuit: RedisCircuit, *, ttl: int) -> None:
        self._live, self._circuit = live, circuit
        self._get = cache.register_script(_GET)
        self._put = cache.register_script(_PUT)
        self._hold = cache.register_script(_HOLD)
        self._ttl = ttl
        self._distrusted: dict[UUID, float] = {}
        """Of which session or tenant this process takes and makes no copies, and until when: the oldest first."""
        self._unheld: set[_Change] = set()
        self._unannounced: set[_Change] = set()
        self._telling: asyncio.Task[None] | None = None

    async def aclose(self) -> None:
        """Try a last time to tell what could not be told, and end. Call it before the connections are closed."""
        if self._telling is not None:
            await end_tasks([self._telling])
            await self._tell_what_is_left()

    async def get(self, tenant_id: TenantId, session_id: UUID) -> UserRecord | None:
        """Whose session it is, if a recent copy says that it counts."""
        if self._is_distrusted(tenant_id, session_id):
            return None
        keys = _keys(tenant_id, session_id)
        try:
            found = await self._circuit.ask(lambda: self._get(keys=keys, args=[self._ttl]))
        except REDIS_ERRORS:
            return None
        if not found or self._is_distrusted(tenant_id, session_id):
            return None
        values = orjson.loads(found)
        # A version with other columns may have written it.
        if values.keys() != _KEYS or values.pop("read_at") < time.time() - VERIFY_SECONDS:
            return None
        return _record(values)

    async def put(self, session_id: UUID, person: UserRecord, read_at: float) -> None:
        """Remember what PostgreSQL said at `read_at` (seconds since 1970), unless it has changed since."""
        tenant_id = TenantId(person.tenant_id)
        if self._is_distrusted(tenant_id, session_id):
            return
        # The driver's UUIDs are a class of their own, which the encoder does not know.
        value = orjson.dumps(asdict(person) | {"read_at": read_at, "role": person.role.value}, default=str)
        keys = _keys(tenant_id, session_id)
        try:
            await self._circuit.ask(lambda: self._put(keys=keys, args=[value, self._ttl]))
        except REDIS_ERRORS:
            return

    async def forget(self, tenant_id: TenantId, session_ids: Sequence[UUID]) -> bool:
        """Something about these sessions has changed in PostgreSQL: call after the commit. Tells every process.

        This process knows at once, and others as soon as Redis can be told: it is tried twice a second, for as long as
        a copy of before may be trusted, and when this process ends. Whether it has been announced already.
        """
        return await self._changed(tenant_id, tuple(session_ids))

    async def forget_tenant(self, tenant_id: TenantId) -> bool:
        """As `forget`, of all sessions of the tenant, however many.

        The mark outlasts the trust in every copy that was made before it, and no copy is made while it stands.
        """
        return await self._changed(tenant_id, None)

    async def _changed(self, tenant_id: TenantId, session_ids: tuple[UUID, ...] | None) -> bool:
        change = _Change(tenant_id, session_ids, time.monotonic() + VERIFY_SECONDS)
        for one in change.ids:
            # The newest last, also where it was there already.
            self._distrusted.pop(one, None)
            self._distrusted[one] = change.until
        self._unheld.add(change)
        self._unannounced.add(change)
        try:
            held = await self._hold_copies(change)
            # Whether or not the copies are gone: they may be on another server, and who hears of it looks again.
            announced = await self._announce(change)
            if not (held and announced):
                # Once to each change, and not to each try.
                log.warning("change of sessions not told", tenant=tenant_id.hex, held=held, announced=announced)
            return announced
        finally:
            # Also when whoever waits for this is cancelled.
            if (self._unheld or self._unannounced) and (self._telling is None or self._telling.done()):
                self._telling = asyncio.create_task(self._tell_again(), name="session-changes")

    def _is_distrusted(self, tenant_id: TenantId, session_id: UUID) -> bool:
        now = time.monotonic()
        while self._distrusted:
            oldest, until = next(iter(self._distrusted.items()))
            if until > now:
                break
            del self._distrusted[oldest]
        return tenant_id in self._distrusted or session_id in self._distrusted

    async def _tell_again(self) -> None:
        """Until everything is told, or would change nothing any more."""
        while self._unheld or self._unannounced:
            await asyncio.sleep(AGAIN_SECONDS)
            await self._tell_what_is_left()

    async def _tell_what_is_left(self) -> None:
        now = time.monotonic()
        for late in [change for change in self._unheld | self._unannounced if change.until <= now]:
            log.warning("change of sessions never told", tenant=late.tenant_id.hex)
            self._unheld.discard(late)
            self._unannounced.discard(late)
        # With the first that fails Redis is still away: the others would wait as long and for nothing.
        for change in tuple(self._unheld):
            if not await self._hold_copies(change):
                break
            # Again, if it was announced: who looked then may have found the copy.
            self._unannounced.add(change)
        for change in tuple(self._unannounced):
            if not await self._announce(change):
                break

    async def _hold_copies(self, change: _Change) -> bool:
        seconds = max(1, math.ceil(change.until - time.monotonic()))
        done = await _in_time(self._hold(keys=change.keys, args=[seconds]))
        if done:
            self._unheld.discard(change)
        return done

    async def _announce(self, change: _Change) -> bool:
        done = await _in_time(self._live.publish(redis_keys.identity_live(change.tenant_id), change.words))
        if done:
            self._unannounced.discard(change)
        return done


async def _in_time(command: Awaitable[Any]) -> bool:
    """Whether Redis has done it, as far as is known."""
    try:
        async with others_within(REQUEST_SECONDS):
            await command
    except REDIS_ERRORS as error:
        log.debug("redis was not told", error=type(error).__name__)
        return False
    return True


_KEYS = {field.name for field in fields(UserRecord)} | {"read_at"}
_MOMENTS = tuple(field.name for field in fields(UserRecord) if field.name.endswith("_at"))


def _keys(tenant_id: TenantId, session_id: UUID) -> list[str]:
    return [redis_keys.session(tenant_id, session_id), redis_keys.tenant_changed(tenant_id)]


def _record(values: dict[str, object]) -> UserRecord:
    for name in ("id", "tenant_id"):
        values[name] = UUID(str(values[name]))
    for name in _MOMENTS:
        values[name] = None if values[name] is None else datetime.fromisoformat(str(values[name]))
    values["role"] = Role(values["role"])
    return UserRecord(**values)  # type: ignore[arg-type]
