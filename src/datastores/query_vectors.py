"""The vectors of questions that were asked before. Lost with Redis, and nothing is lost with it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import orjson
import structlog
from redis.asyncio import Redis

from core.ids import TenantId
from datastores import redis_keys
from datastores.redis_circuit import RedisCircuit
from datastores.redis_client import REDIS_ERRORS

_FORM = np.dtype("<f4")
log = structlog.get_logger(__name__)


class QueryVectors:
    """Each is kept for `ttl` seconds from when it was made, for its tenant alone; 0 keeps none.

    A cache that tenants shared would tell one of them, by how long an answer takes, what another has asked.
    """

    def __init__(self, cache: Redis, circuit: RedisCircuit, *, ttl: int, servers: Sequence[str | None]) -> None:
        """`servers`: where models are asked. Another one may have another model of the same name."""
        self._cache, self._circuit, self._ttl, self._servers = cache, circuit, ttl, list(servers)

    async def get(
        self, tenant_id: TenantId, model_id: str, dimensions: int, text: str
    ) -> npt.NDArray[np.float32] | None:
        """The vector of exactly this text in that model's space, shape (dimensions,); None where it is not known."""
        if not self._ttl:
            return None
        key = self._key(tenant_id, model_id, text)
        try:
            found = await self._circuit.ask(lambda: self._cache.get(key))
        except REDIS_ERRORS as error:
            log.info("no cached query vectors", error=type(error).__name__)
            return None
        if found is None or len(found) != dimensions * _FORM.itemsize:
            return None
        return np.frombuffer(found, dtype=_FORM).astype(np.float32)

    async def put(self, tenant_id: TenantId, model_id: str, text: str, vector: npt.NDArray[np.float32]) -> None:
        """Remember the text's vector."""
        if not self._ttl:
            return
        key, value = self._key(tenant_id, model_id, text), vector.astype(_FORM).tobytes()
        try:
            await self._circuit.ask(lambda: self._cache.set(key, value, ex=self._ttl))
        except REDIS_ERRORS as error:
            log.info("query vector not cached", error=type(error).__name__)

    def _key(self, tenant_id: TenantId, model_id: str, text: str) -> str:
        asked = orjson.dumps([self._servers, model_id, text.encode("utf-8", "surrogatepass").hex()])
        return redis_keys.query_vector(tenant_id, sha256(asked).hexdigest())
