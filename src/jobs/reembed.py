"""A tenant's documents into another vector space, a slice at a time, so that tenants take turns.

A worker may die anywhere: whoever claims the row next goes on with what has no vector there yet, and one whose epoch is
old can write nothing. What is embedded is stored with each batch, so at most one batch is paid for twice.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.errors import ProviderError
from core.ids import TenantId
from core.tasks import end_tasks
from datastores import reembedding
from datastores.ingestion import STALE_AFTER
from datastores.models import ReembeddingStatus
from datastores.outages import is_outage, when_back
from datastores.postgres import Purpose
from datastores.reembedding import ClaimedReembedding, ReembeddingTakenError
from datastores.vector_indexes import is_indexed
from jobs.claims import given_back
from jobs.embedding import CHUNK_BATCH, EmbeddingCalls
from jobs.services import JobServices
from providers.base import EmbeddingProvider

SLICE_SECONDS = 60.0
"""After which the next tenant has its turn; a batch that has begun is finished."""
FIRST_PAUSE = 5.0
"""Seconds after the model's first failure (which is three tries of a batch); doubled from one to the next."""
LONGEST_PAUSE = 600.0
_SWEPT = 500
log = structlog.get_logger(__name__)


async def reembed(ctx: dict[str, Any], tenant: str, reembedding_id: str) -> None:
    """The arq job. Failures of the model are recorded; those of our own machinery leave it to the sweep."""
    services: JobServices = ctx["services"]
    tenant_id, wanted = TenantId(UUID(hex=tenant)), UUID(hex=reembedding_id)

    async def claim() -> ClaimedReembedding | None:
        async with services.postgres.write(tenant_id) as tx:
            return await reembedding.claim(tx, wanted)

    claimed = await when_back(claim)
    if claimed is None:
        return
    job = _Slice(services, tenant_id, wanted, claimed)
    async with given_back(job.release):
        await _run(job)


async def sweep_reembeddings(ctx: dict[str, Any]) -> int:
    """Run every few seconds by each worker; how many were found that nobody works at. A job asked for twice runs
    once."""
    services: JobServices = ctx["services"]
    async with services.postgres.platform(Purpose.SWEEP) as tx:
        found = await reembedding.unfinished(tx, _SWEPT)
    for tenant_id, wanted, epoch in found:
        await services.queue.reembed(tenant_id, wanted, epoch)
    return len(found)


async def _run(job: _Slice) -> None:
    try:
        await job.run()
    except ReembeddingTakenError:
        log.info("reembedding taken over or called off", tenant=job.tenant_id.hex)
    except ProviderError as error:
        log.warning("reembedding held up", tenant=job.tenant_id.hex, code=error.code.value)
        await when_back(partial(job.held_up, error))
    except Exception as error:
        if not is_outage(error):
            raise
        log.warning("reembedding interrupted: the database was away", error=type(error).__name__)
        await when_back(job.release)


class _Slice:
    """What one claim does."""

    def __init__(self, services: JobServices, tenant_id: TenantId, wanted: UUID, claimed: ClaimedReembedding) -> None:
        self.tenant_id = tenant_id
        self._services, self._wanted, self._claimed = services, wanted, claimed
        self._until = time.monotonic() + SLICE_SECONDS

    async def run(self) -> None:
        heartbeat = asyncio.create_task(self._beat())
        try:
            done = await self._work()
        finally:
            await end_tasks([heartbeat])
        if not done:
            await self.release()
            await self._services.queue.reembed(self.tenant_id, self._wanted, self._claimed.epoch)

    async def release(self) -> None:
        """Let any worker go on."""
        with suppress(ReembeddingTakenError):
            async with self._services.postgres.write(self.tenant_id) as tx:
                await reembedding.release(tx, self._claimed.epoch)

    async def held_up(self, error: ProviderError) -> None:
        """Pause for as long as the model asks for, or longer each time; or fail, where that does not help."""
        claimed = self._claimed
        with suppress(ReembeddingTakenError):
            async with self._services.postgres.write(self.tenant_id) as tx:
                if not error.retryable:
                    await reembedding.fail(tx, claimed.epoch, error)
                    return
                seconds = max(FIRST_PAUSE * 2.0 ** min(claimed.failures, 20), error.retry_after or 0.0)
                pause = timedelta(seconds=min(seconds, LONGEST_PAUSE))
                await reembedding.pause(tx, claimed.epoch, claimed.failures + 1, error, pause)

    async def _work(self) -> bool:
        """Whether all is done; else the time is up."""
        if self._claimed.status is not ReembeddingStatus.RUNNING:
            return await self._remove_leftovers()
        provider = self._services.providers.embeddings(self._claimed.model_id)
        async with self._services.postgres.write(self.tenant_id) as tx:
            await reembedding.count(tx, self._claimed.epoch, provider.model_id)
            if not await is_indexed(tx, provider.model_id):
                log.warning("vector space without an index: run `colloquy migrate`", model=provider.model_id)
        while await self._pass_through(provider):
            async with self._services.postgres.write(self.tenant_id) as tx:
                if await reembedding.switch(tx, self._claimed.epoch, provider.model_id):
                    log.info("reembedded", tenant=self.tenant_id.hex, model=provider.model_id)
                    return True
        return False

    async def _pass_through(self, provider: EmbeddingProvider) -> bool:
        """Embed what is missing, once through all chunks; whether it came to the end in its time."""
        after: UUID | None = None
        calls = EmbeddingCalls(provider)
        size = max(1, CHUNK_BATCH // 8 // provider.batch_size) * provider.batch_size
        while time.monotonic() < self._until:
            async with self._services.postgres.read(self.tenant_id) as tx:
                chunks = await reembedding.missing_chunks(tx, provider.model_id, after, size)
            if not chunks:
                return True
            texts = [chunk.text for chunk in chunks]
            batches = [
                texts[start : start + provider.batch_size] for start in range(0, len(texts), provider.batch_size)
            ]
            vectors = np.concatenate([await calls.embed(batch) for batch in batches])
            after = chunks[-1].id
            async with self._services.postgres.write(self.tenant_id) as write:
                ids = [chunk.id for chunk in chunks]
                await reembedding.add_vectors(write, self._claimed.epoch, provider.model_id, ids, vectors)
            self._claimed.failures = 0
        return False

    async def _remove_leftovers(self) -> bool:
        keep = [self._claimed.searched]
        if self._claimed.status is ReembeddingStatus.FAILED:
            # For when it is asked for again.
            keep.append(self._claimed.model_id)
        while time.monotonic() < self._until:
            async with self._services.postgres.write(self.tenant_id) as tx:
                if await reembedding.remove_leftovers(tx, self._claimed.epoch, keep, CHUNK_BATCH):
                    return True
        return False

    async def _beat(self) -> None:
        """Show that the worker lives, also while a slow model makes no progress."""
        while True:
            await asyncio.sleep(STALE_AFTER.total_seconds() / 3)
            with suppress(ReembeddingTakenError, SQLAlchemyError, OSError):
                async with self._services.postgres.write(self.tenant_id) as tx:
                    await reembedding.record(tx, self._claimed.epoch)
