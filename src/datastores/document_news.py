"""Word that a document has changed, for whoever follows it. What has changed is in PostgreSQL."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from redis.asyncio import Redis

from core.ids import TenantId
from datastores import redis_keys
from datastores.redis_circuit import RedisAwayError, RedisCircuit


class DocumentNews:
    """One per process."""

    def __init__(self, redis: Redis, circuit: RedisCircuit) -> None:
        self._redis, self._circuit = redis, circuit

    async def tell(self, tenant_id: TenantId, document_id: UUID) -> None:
        """Call after the commit. With Redis away followers find the change with their next look."""
        channels = (redis_keys.document_live(tenant_id, document_id), redis_keys.documents_live(tenant_id))

        async def publish() -> None:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for channel in channels:
                    pipeline.publish(channel, b"")
                await pipeline.execute()

        with suppress(RedisAwayError):
            await self._circuit.run(publish)
