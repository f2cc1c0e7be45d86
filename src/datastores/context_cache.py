"""What was said in a conversation, ready for its next question. PostgreSQL has it, too."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from uuid import UUID

import orjson
import structlog
from redis.asyncio import Redis

from core.ids import TenantId
from datastores import redis_keys
from datastores.models import MessageRole
from datastores.redis_circuit import RedisCircuit
from datastores.redis_client import REDIS_ERRORS

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


@dataclass(frozen=True, slots=True)
class Moment:
    """What a context depends on. Whoever finds another moment in PostgreSQL finds no context here, so that none has to
    be forgotten: it could not be while Redis is away."""

    through: int
    """Number of the question that it ends with."""
    changed: int | None
    """Version of the conversation in which an answer to that question last changed."""
    changed_before: int | None
    """The same of the answers to all questions before it."""


class ContextCache:
    """One context to a conversation, kept for `ttl` seconds after the turn that it ends with; 0 keeps none."""

    def __init__(self, cache: Redis, circuit: RedisCircuit, *, ttl: int) -> None:
        self._cache, self._circuit, self._ttl = cache, circuit, ttl

    async def get(self, tenant_id: TenantId, conversation_id: UUID, moment: Moment) -> Said | None:
        """What was said up to that question, its answer included; None where it is not remembered as of this moment."""
        if not self._ttl:
            return None
        key = redis_keys.conversation_context(tenant_id, conversation_id)
        try:
            found = await self._circuit.ask(lambda: self._cache.get(key))
        except REDIS_ERRORS as error:
            log.info("no cached contexts", error=type(error).__name__)
            return None
        if not found:
            return None
        kept = orjson.loads(found)
        # One of another version of the product has other names.
        if kept.get("moment") != asdict(moment):
            return None
        return Said([Turn(MessageRole(role), text) for role, text in kept["turns"]], kept["earlier"])

    async def put(self, tenant_id: TenantId, conversation_id: UUID, moment: Moment, said: Said) -> None:
        """Remember what was said up to a question and its answer, as of this moment."""
        if not self._ttl:
            return
        turns = [[turn.role.value, turn.text] for turn in said.turns]
        context = orjson.dumps({"moment": asdict(moment), "turns": turns, "earlier": said.earlier})
        key = redis_keys.conversation_context(tenant_id, conversation_id)
        try:
            await self._circuit.ask(lambda: self._cache.set(key, context, ex=self._ttl))
        except REDIS_ERRORS as error:
            log.info("context not cached", error=type(error).__name__)
