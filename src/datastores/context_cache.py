"""What was said in a conversation, ready for its next question. PostgreSQL has it, too."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

import orjson
import structlog
from redis.asyncio import Redis

from core.ids import TenantId
from datastores import redis_keys
from datastores.models import MessageRole
from datastores.redis_client import REDIS_ERRORS, REQUEST_SECONDS

HOLD_SECONDS = 60
"""For so long after a change nothing is remembered: what was read just before it must not be put back."""
# KEYS: the context. ARGV: its JSON, seconds.
_PUT = """
if redis.call('GET', KEYS[1]) == '' then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation, as far as a model is told of it."""

    role: MessageRole
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """What was said before a question: the last turns, and how many earlier ones there are."""

    turns: list[Turn]
    earlier: int = 0


class ContextCache:
    """One context to a conversation, kept for `ttl` seconds after the turn that it ends with; 0 keeps none."""

    def __init__(self, cache: Redis, *, ttl: int) -> None:
        self._cache, self._ttl = cache, ttl
        self._put = cache.register_script(_PUT)

    async def get(self, tenant_id: TenantId, conversation_id: UUID, through: int | None) -> Said | None:
        """What was said up to question number `through`, its answer included; None where they are not remembered."""
        if not self._ttl or through is None:
            return None
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                found = await self._cache.get(redis_keys.conversation_context(tenant_id, conversation_id))
        except REDIS_ERRORS as error:
            log.info("no cached contexts", error=type(error).__name__)
            return None
        if not found:
            return None
        kept = orjson.loads(found)
        # One without `earlier` is of a version that did not count them.
        if kept["through"] != through or "earlier" not in kept:
            return None
        return Said([Turn(MessageRole(role), text) for role, text in kept["turns"]], kept["earlier"])

    async def put(self, tenant_id: TenantId, conversation_id: UUID, through: int, said: Said) -> None:
        """Remember what was said up to question number `through` and its answer."""
        if not self._ttl:
            return
        turns = [[turn.role.value, turn.text] for turn in said.turns]
        context = orjson.dumps({"through": through, "turns": turns, "earlier": said.earlier})
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._put(
                    keys=[redis_keys.conversation_context(tenant_id, conversation_id)], args=[context, self._ttl]
                )
        except REDIS_ERRORS as error:
            log.info("context not cached", error=type(error).__name__)

    async def forget(self, tenant_id: TenantId, conversation_id: UUID) -> None:
        """What was said has changed: another answer was selected, or the conversation was deleted."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._cache.set(redis_keys.conversation_context(tenant_id, conversation_id), "", ex=HOLD_SECONDS)
        except REDIS_ERRORS as error:
            # It ends by itself: at most `ttl` seconds of an answer that was selected before.
            log.warning("context not forgotten", error=type(error).__name__)
