"""The typed way into arq. Losing the queue loses nothing: a sweep enqueues again what PostgreSQL says is unfinished."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from arq.connections import ArqRedis
from redis.asyncio import Redis

from core.ids import TenantId
from core.tasks import end_tasks
from datastores import redis_keys
from datastores.redis_client import REDIS_ERRORS, REQUEST_SECONDS

INGEST_DOCUMENT = "ingest_document"
DELIVER_MAIL = "deliver_mail"
REEMBED = "reembed"
WAKE_SECONDS = 300
"""arq keeps a job's id while it might run; a worker that is killed before it claims the document takes the id with it
for hours. So the id is another one every so many seconds."""
log = structlog.get_logger(__name__)


class JobQueue:
    """Wakes workers. One per process, on the process's Redis connections.

    Nobody waits for Redis longer than `REQUEST_SECONDS`, and nothing is raised: what could not be enqueued is in
    PostgreSQL, and the sweeps ask again.
    """

    def __init__(self, redis: Redis) -> None:
        self._arq = ArqRedis(connection_pool=redis.connection_pool, default_queue_name=redis_keys.QUEUE)
        self._under_way: set[asyncio.Task[Any]] = set()

    async def aclose(self) -> None:
        """End what Redis has not answered yet. Call it before the connections are closed."""
        await end_tasks(self._under_way)

    async def ingest_document(self, tenant_id: TenantId, document_id: UUID, epoch: int = 0) -> None:
        """Ask for the document to be made searchable, in its turn (`jobs.document_turns`).

        Asking again for one epoch is one job, for a while.
        """
        job = self._arq.enqueue_job(
            INGEST_DOCUMENT,
            tenant_id.hex,
            document_id.hex,
            _job_id=f"{INGEST_DOCUMENT}:{document_id.hex}:{epoch}:{int(time.time() / WAKE_SECONDS)}",
        )
        await self._enqueue(job, job=INGEST_DOCUMENT, document=document_id.hex)

    async def next_document(self, *, in_seconds: float = 0.0) -> None:
        """Ask for whichever document is next by then."""
        await self._enqueue(self._arq.enqueue_job(INGEST_DOCUMENT, _defer_by=in_seconds or None), job=INGEST_DOCUMENT)

    async def reembed(self, tenant_id: TenantId, reembedding_id: UUID, epoch: int) -> None:
        """Ask for a tenant's documents to be led on into another space. Asking again for one epoch is one job."""
        job = self._arq.enqueue_job(
            REEMBED,
            tenant_id.hex,
            reembedding_id.hex,
            _queue_name=redis_keys.REEMBEDDING_QUEUE,
            _job_id=f"{REEMBED}:{reembedding_id.hex}:{epoch}:{int(time.time() / WAKE_SECONDS)}",
        )
        await self._enqueue(job, job=REEMBED, tenant=tenant_id.hex)

    async def deliver_mail(self, after: timedelta | None = None) -> None:
        """Wake a worker for the mails of the outbox: call it after the commit.

        Each call is a job of its own: one that stood for several could be over before the last of them was committed.
        """
        job = self._arq.enqueue_job(DELIVER_MAIL, _queue_name=redis_keys.MAIL_QUEUE, _defer_by=after)
        await self._enqueue(job, job=DELIVER_MAIL)

    async def _enqueue(self, work: Coroutine[Any, Any, Any], **about: str) -> None:
        # A task that goes on, for as long as the client's own limits let it: late is better than with the sweep. Nor
        # could arq's transaction be cut off in time: redis-py waits for the answer when it takes its WATCH back.
        task = asyncio.create_task(work, name="enqueue")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        await asyncio.wait({task}, timeout=REQUEST_SECONDS)
        if not task.done():
            task.add_done_callback(_late)
            log.warning("job not enqueued", **about, error="TimeoutError")
            return
        try:
            task.result()
        except REDIS_ERRORS as error:
            log.warning("job not enqueued", **about, error=type(error).__name__)


def _late(task: asyncio.Task[Any]) -> None:
    """Take what it raises: nobody waits for it any more, and it has been logged as late."""
    if not task.cancelled():
        task.exception()
