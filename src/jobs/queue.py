"""The typed way into arq. Losing the queue loses nothing: a sweep enqueues again what PostgreSQL says is unfinished."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import UUID

import structlog
from arq.connections import ArqRedis
from redis.asyncio import Redis

from core.ids import TenantId
from datastores import redis_keys
from datastores.redis_client import REDIS_ERRORS

INGEST_DOCUMENT = "ingest_document"
DELIVER_MAIL = "deliver_mail"
WAKE_SECONDS = 300
"""arq keeps a job's id while it might run; a worker that is killed before it claims the document takes the id with it
for hours. So the id is another one every so many seconds."""
log = structlog.get_logger(__name__)


class JobQueue:
    """Wakes workers. One per process, on the process's Redis connections."""

    def __init__(self, redis: Redis) -> None:
        self._arq = ArqRedis(connection_pool=redis.connection_pool, default_queue_name=redis_keys.QUEUE)

    async def ingest_document(self, tenant_id: TenantId, document_id: UUID, epoch: int = 0) -> None:
        """Ask for the document to be made searchable. Asking again for one epoch is one job, for a while.

        With Redis away nothing is raised: the document is stored, and the sweep asks again.
        """
        try:
            await self._arq.enqueue_job(
                INGEST_DOCUMENT,
                tenant_id.hex,
                document_id.hex,
                _job_id=f"{INGEST_DOCUMENT}:{document_id.hex}:{epoch}:{int(time.time() / WAKE_SECONDS)}",
            )
        except REDIS_ERRORS as error:
            log.warning("job not enqueued", document=document_id.hex, error=type(error).__name__)

    async def deliver_mail(self, after: timedelta | None = None) -> None:
        """Wake a worker for the mails of the outbox: call it after the commit. Nothing is raised, as above.

        Each call is a job of its own: one that stood for several could be over before the last of them was committed.
        """
        try:
            await self._arq.enqueue_job(DELIVER_MAIL, _queue_name=redis_keys.MAIL_QUEUE, _defer_by=after)
        except REDIS_ERRORS as error:
            log.warning("job not enqueued", job=DELIVER_MAIL, error=type(error).__name__)
