"""The switch to another space and a document that becomes READY wait for each other, so that none is left behind."""

from __future__ import annotations

import asyncio
from uuid import UUID

import numpy as np
import pytest

from core.ids import TenantId, new_id
from core.settings import Settings
from datastores import reembedding
from datastores.ingestion import NewChunk, add_chunks, make_ready
from datastores.models import Document, DocumentStatus
from datastores.postgres import Postgres
from datastores.vectors import add_embeddings, chunks_without_vector
from owner import as_owner, until

OLD, NEW = "model", "new@3"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"


@pytest.fixture
async def epoch(postgres: Postgres, tenant: TenantId) -> int:
    """Of a re-embedding that has nothing left to do but to switch."""
    async with postgres.write(tenant) as tx:
        asked = await reembedding.ask(tx, NEW)
    assert asked is not None
    async with postgres.write(tenant) as tx:
        claimed = await reembedding.claim(tx, asked[0])
    assert claimed is not None
    assert claimed.searched == OLD
    return claimed.epoch


@pytest.fixture
async def document(postgres: Postgres, tenant: TenantId) -> UUID:
    """One that is about to be READY, with its vectors in the old space."""
    document = new_id()
    async with postgres.write(tenant) as tx:
        tx.session.add(
            Document(
                tenant_id=tenant,
                id=document,
                name="late.txt",
                content_type="text/plain",
                byte_size=1,
                sha256=document.hex * 2,
                status=DocumentStatus.EMBEDDING,
                epoch=1,
            )
        )
        await tx.session.flush()
        await add_chunks(tx, document, [NewChunk(0, None, "Late.", 0, 5)])
        (chunk,) = await chunks_without_vector(tx, document, OLD, -1, 1)
        await add_embeddings(tx, OLD, [chunk.id], np.array([[1.0, 0.0]], dtype=np.float32))
    return document


async def _somebody_waits(settings: Settings) -> None:
    async def waits() -> bool:
        ((count,),) = await as_owner(settings, WAITING)
        return bool(count)

    await until(waits)


async def test_a_document_that_is_ready_first_is_seen_by_the_switch(
    settings: Settings, postgres: Postgres, tenant: TenantId, epoch: int, document: UUID
) -> None:
    async def switched() -> bool:
        async with postgres.write(tenant) as tx:
            return await reembedding.switch(tx, epoch, NEW)

    async with postgres.write(tenant) as tx:
        assert await make_ready(tx, document, 1, OLD) is None
        switching = asyncio.create_task(switched())
        await _somebody_waits(settings)
    assert await switching is False
    async with postgres.read(tenant) as reads:
        (missing,) = await reembedding.missing_chunks(reads, NEW, None, 10)
        assert await reembedding.missing_chunks(reads, NEW, missing.id, 10) == []
    async with postgres.write(tenant) as tx:
        vectors = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)
        await reembedding.add_vectors(tx, epoch, NEW, [missing.id], vectors)
    assert await switched() is True


async def test_a_document_that_is_ready_behind_the_switch_knows_of_it(
    settings: Settings, postgres: Postgres, tenant: TenantId, epoch: int, document: UUID
) -> None:
    async def ready() -> str | None:
        async with postgres.write(tenant) as tx:
            return await make_ready(tx, document, 1, OLD)

    async with postgres.write(tenant) as tx:
        assert await reembedding.switch(tx, epoch, NEW) is True
        becoming = asyncio.create_task(ready())
        await _somebody_waits(settings)
    assert await becoming == NEW
    ((status,),) = await as_owner(settings, "SELECT status FROM documents WHERE id = $1", document)
    assert status == "EMBEDDING"


async def test_whose_epoch_is_old_can_change_nothing(
    postgres: Postgres, tenant: TenantId, epoch: int, document: UUID
) -> None:
    async with postgres.write(tenant) as tx:
        assert await reembedding.ask(tx, "other@3") is not None
    for _ in range(2):
        with pytest.raises(reembedding.ReembeddingTakenError):
            async with postgres.write(tenant) as tx:
                await reembedding.switch(tx, epoch, NEW)
    with pytest.raises(reembedding.ReembeddingTakenError):
        async with postgres.write(tenant) as tx:
            await reembedding.remove_leftovers(tx, epoch, [NEW], 10)
    async with postgres.read(tenant) as reads:
        found = await reembedding.current(reads)
    assert found is not None
    assert found.model_id == "other@3"
