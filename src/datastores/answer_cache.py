"""What models have answered, by exactly what they were asked. Lost with Redis, and nothing is lost with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256

import orjson
import structlog
from redis.asyncio import Redis

from core.ids import TenantId
from datastores import redis_keys
from datastores.redis_circuit import RedisCircuit
from datastores.redis_client import REDIS_ERRORS

MAX_CHARS = 100_000
"""A longer answer is not kept."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """The text as the model wrote it, its markers included, and the tokens that it took then."""

    text: str
    input_tokens: int | None
    output_tokens: int | None


class AnswerCache:
    """Each answer is kept for `ttl` seconds from when it was written; 0 keeps none."""

    def __init__(self, cache: Redis, circuit: RedisCircuit, *, ttl: int, servers: Sequence[str | None]) -> None:
        """`servers`: where models are asked. Another one may have another model of the same name."""
        self._cache, self._circuit, self._ttl, self._servers = cache, circuit, ttl, list(servers)

    async def get(self, tenant_id: TenantId, asked: object) -> CachedAnswer | None:
        """What was answered when the same was asked: everything that the answer depends on, in JSON's types."""
        if not self._ttl:
            return None
        key = redis_keys.model_answer(tenant_id, self._digest(asked))
        try:
            found = await self._circuit.ask(lambda: self._cache.get(key))
        except REDIS_ERRORS as error:
            log.info("no cached answers", error=type(error).__name__)
            return None
        return CachedAnswer(**orjson.loads(found)) if found else None

    async def put(self, tenant_id: TenantId, asked: object, answer: CachedAnswer) -> None:
        """Remember a whole answer."""
        if not self._ttl or len(answer.text) > MAX_CHARS:
            return
        key, value = redis_keys.model_answer(tenant_id, self._digest(asked)), orjson.dumps(asdict(answer))
        try:
            await self._circuit.ask(lambda: self._cache.set(key, value, ex=self._ttl))
        except REDIS_ERRORS as error:
            log.info("answer not cached", error=type(error).__name__)

    def _digest(self, asked: object) -> str:
        return sha256(orjson.dumps([self._servers, asked])).hexdigest()
