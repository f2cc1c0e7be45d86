"""What Redis remembers of sessions. Losing it signs nobody out and nobody in: PostgreSQL is asked again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from uuid import UUID

import orjson
import structlog
from redis.asyncio import Redis

from core.ids import TenantId
from datastores import redis_keys
from datastores.models import Role
from datastores.records import UserRecord
from datastores.redis_client import REDIS_ERRORS

VERIFY_SECONDS = 60
"""A copy is not trusted for longer, however often it is used: a change that could not be told ends here."""
HOLD_SECONDS = VERIFY_SECONDS
"""For so long after a change nothing is remembered, so that what was read just before it cannot be put back."""
PATIENCE_SECONDS = 0.25
"""Waiting longer for a copy than PostgreSQL takes for the original helps nobody."""
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
# An empty copy, not none: it refuses a copy of what was read before the change.
_HOLD = "for _, key in ipairs(KEYS) do redis.call('SET', key, '', 'EX', ARGV[1]) end"
log = structlog.get_logger(__name__)


class SessionCache:
    """Copies of good sessions, each kept for `ttl` seconds after its last use."""

    def __init__(self, cache: Redis, live: Redis, *, ttl: int) -> None:
        self._cache, self._live = cache, live
        self._get = cache.register_script(_GET)
        self._put = cache.register_script(_PUT)
        self._hold = cache.register_script(_HOLD)
        self._ttl = ttl

    async def get(self, tenant_id: TenantId, session_id: UUID) -> UserRecord | None:
        """Whose session it is, if a recent copy says that it counts."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = await self._get(keys=_keys(tenant_id, session_id), args=[self._ttl])
        except (TimeoutError, *REDIS_ERRORS):
            return None
        if not found:
            return None
        values = orjson.loads(found)
        # A version with other columns may have written it.
        if values.keys() != _KEYS or values.pop("read_at") < time.time() - VERIFY_SECONDS:
            return None
        return _record(values)

    async def put(self, session_id: UUID, person: UserRecord, read_at: float) -> None:
        """Remember what PostgreSQL said at `read_at` (seconds since 1970), unless it has changed since."""
        keys = _keys(TenantId(person.tenant_id), session_id)
        # The driver's UUIDs are a class of their own, which the encoder does not know.
        value = orjson.dumps(asdict(person) | {"read_at": read_at, "role": person.role.value}, default=str)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._put(keys=keys, args=[value, self._ttl])
        except (TimeoutError, *REDIS_ERRORS):
            return

    async def forget(self, tenant_id: TenantId, session_ids: Sequence[UUID]) -> None:
        """Something about these sessions has changed in PostgreSQL: call after the commit. Tells every process.

        With Redis away, copies that others hold are trusted for at most `VERIFY_SECONDS`.
        """
        keys = [redis_keys.session(tenant_id, session_id) for session_id in session_ids]
        try:
            await self._hold(keys=keys, args=[HOLD_SECONDS])
        except REDIS_ERRORS as error:
            log.warning("sessions not forgotten", tenant=tenant_id.hex, error=type(error).__name__)
        await self._announce(tenant_id, b" ".join(one.hex.encode() for one in session_ids))

    async def forget_tenant(self, tenant_id: TenantId) -> None:
        """As `forget`, of all sessions of the tenant, however many.

        The mark outlasts the trust in every copy that was made before it, and no copy is made while it stands.
        """
        try:
            await self._cache.set(redis_keys.tenant_changed(tenant_id), b"", ex=HOLD_SECONDS)
        except REDIS_ERRORS as error:
            log.warning("sessions not forgotten", tenant=tenant_id.hex, error=type(error).__name__)
        await self._announce(tenant_id, EVERYBODY)

    async def _announce(self, tenant_id: TenantId, words: bytes) -> None:
        """Whether or not the copies are gone: they may be on another server, and who hears of it looks again."""
        try:
            await self._live.publish(redis_keys.identity_live(tenant_id), words)
        except REDIS_ERRORS as error:
            log.warning("change of sessions not announced", tenant=tenant_id.hex, error=type(error).__name__)


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
