"""What the ingest job writes. Every statement is fenced by the document's epoch; bulk rows go through COPY.

PostgreSQL refuses COPY into a table with row-level security, so rows are copied into a temporary table that ends
with the transaction and inserted from there, where the policies check them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import orjson
import sqlalchemy as sa
from pgvector import HalfVector

from core.errors import ErrorCode
from core.ids import TenantId, new_id
from datastores.lexical import searchable_text
from datastores.models import Chunk, Document, DocumentPage, DocumentStatus, Embedding, Tenant
from datastores.records import table
from datastores.tenants import suspended
from datastores.transactions import PlatformTransaction, Reads, WriteTransaction

_documents, _chunks, _pages, _tenants = table(Document), table(Chunk), table(DocumentPage), table(Tenant)
_embeddings = table(Embedding)
CLAIMED = (DocumentStatus.PARSING, DocumentStatus.EMBEDDING)
UNFINISHED = (DocumentStatus.QUEUED, *CLAIMED)
STALE_AFTER = timedelta(seconds=30)
"""A job without a sign of life for so long is taken for dead."""
_VANISHED = 1 << 16
"""What an epoch is ahead of the one before it, besides 1, when it was taken from a worker that had vanished. So an
epoch tells two numbers apart: how often the document was claimed, and how often it took its worker with it."""


class DocumentTakenError(Exception):
    """The document was deleted, cancelled or claimed by another worker: stop."""


@dataclass(slots=True)
class ClaimedDocument:
    """What the worker has to know of a document that it claimed."""

    epoch: int
    name: str
    content_type: str
    byte_size: int
    embedding_model_id: str

    @property
    def vanished(self) -> int:
        """How many workers were not heard of again after they had claimed the document."""
        return self.epoch // _VANISHED


@dataclass(slots=True)
class NewChunk:
    """A chunk to store; `page` is None where the file has no pages."""

    ordinal: int
    page: int | None
    text: str
    start: int
    end: int


@dataclass(slots=True)
class StoredChunk:
    """What embedding needs of a chunk."""

    id: UUID
    ordinal: int
    text: str


async def claim(tx: WriteTransaction, document_id: UUID) -> ClaimedDocument | None:
    """Take the document over as its next epoch and remove what an earlier try left; None: done, or in good hands.

    A document that waits was never begun, or was given back (`release`): its last worker has not vanished. Nothing of
    a suspended tenant's is begun.
    """
    waits = _documents.c.status == DocumentStatus.QUEUED
    free = sa.or_(waits, _documents.c.heartbeat_at < sa.func.now() - STALE_AFTER)
    statement = (
        sa.update(_documents)
        .where(
            _documents.c.tenant_id == tx.tenant_id,
            _documents.c.id == document_id,
            _documents.c.status.in_(UNFINISHED),
            free,
            ~suspended(_documents.c.tenant_id),
        )
        .values(
            epoch=_documents.c.epoch + sa.case((waits, 1), else_=1 + _VANISHED),
            status=DocumentStatus.PARSING,
            heartbeat_at=sa.func.clock_timestamp(),
            pages_done=0,
            chunks_done=0,
            chunks_total=None,
        )
        .returning(
            _documents.c.epoch,
            _documents.c.name,
            _documents.c.content_type,
            _documents.c.byte_size,
            sa.select(_tenants.c.embedding_model_id)
            .where(_tenants.c.id == _documents.c.tenant_id)
            .scalar_subquery()
            .label("embedding_model_id"),
        )
    )
    claimed = await tx.first(ClaimedDocument, statement)
    if claimed is not None:
        for rows in (_chunks, _pages):
            await tx.execute(sa.delete(rows).where(rows.c.tenant_id == tx.tenant_id, rows.c.document_id == document_id))
    return claimed


async def record_progress(tx: WriteTransaction, document_id: UUID, epoch: int, **values: Any) -> None:
    """Set columns of a document that is still ours, and its sign of life. Raises `DocumentTakenError`."""
    statement = (
        sa.update(_documents)
        .where(
            _documents.c.tenant_id == tx.tenant_id,
            _documents.c.id == document_id,
            _documents.c.epoch == epoch,
            _documents.c.status.in_(CLAIMED),
        )
        .values({"heartbeat_at": sa.func.clock_timestamp(), **values})
    )
    if not await tx.execute(statement):
        raise DocumentTakenError


async def make_ready(tx: WriteTransaction, document_id: UUID, epoch: int, model_id: str) -> str | None:
    """Make the document searchable, if its vectors are in the space that is searched; else nothing is changed, and the
    space that they have to be in is given. May raise as above.

    Whoever has another space searched waits for this transaction, or this one for it (`datastores.reembedding.switch`).
    """
    searched = sa.select(_tenants.c.embedding_model_id).where(_tenants.c.id == tx.tenant_id)
    now_searched = await tx.scalar(searched.with_for_update(read=True))
    if now_searched != model_id:
        return str(now_searched)
    await record_progress(tx, document_id, epoch, status=DocumentStatus.READY)
    return None


async def drop_embeddings(tx: WriteTransaction, document_id: UUID, model_id: str) -> None:
    """Remove the document's vectors of that space, which nobody searches any more."""
    of_document = sa.select(_chunks.c.id).where(
        _chunks.c.tenant_id == tx.tenant_id, _chunks.c.document_id == document_id
    )
    await tx.execute(
        sa.delete(_embeddings).where(
            _embeddings.c.tenant_id == tx.tenant_id,
            _embeddings.c.model_id == model_id,
            _embeddings.c.chunk_id.in_(of_document),
        )
    )


async def release(tx: WriteTransaction, document_id: UUID, epoch: int) -> None:
    """Put a claimed document back into the queue, for the next sweep to find at once. May raise as above."""
    long_ago = sa.func.now() - 2 * STALE_AFTER
    await record_progress(tx, document_id, epoch, status=DocumentStatus.QUEUED, heartbeat_at=long_ago)


async def fail(
    tx: WriteTransaction, document_id: UUID, epoch: int, code: ErrorCode, message: str, *, retryable: bool
) -> None:
    """End the document as FAILED; its pages and chunks go, so that nothing of it is found. May raise as above."""
    await record_progress(
        tx,
        document_id,
        epoch,
        status=DocumentStatus.FAILED,
        failure_code=code,
        failure_message=message,
        failure_retryable=retryable,
    )
    for rows in (_chunks, _pages):
        await tx.execute(sa.delete(rows).where(rows.c.tenant_id == tx.tenant_id, rows.c.document_id == document_id))


async def add_pages(
    tx: WriteTransaction, document_id: UUID, pages: Sequence[tuple[int, str, list[Any] | None]]
) -> None:
    """Store pages `(number, text, source map)`: one COPY and one INSERT, however many."""
    rows = [
        (tx.tenant_id, new_id(), document_id, number, text, None if source is None else orjson.dumps(source).decode())
        for number, text, source in pages
    ]
    columns = ["tenant_id", "id", "document_id", "number", "text", "source_map"]
    await _bulk_insert(tx, "document_pages", columns, rows, {"source_map": "text"}, {"source_map": "jsonb"})


async def add_chunks(tx: WriteTransaction, document_id: UUID, chunks: Sequence[NewChunk]) -> None:
    """Store chunks with their lexemes: one COPY and one INSERT, however many."""
    rows = [
        (
            tx.tenant_id,
            new_id(),
            document_id,
            chunk.ordinal,
            chunk.page,
            chunk.text,
            chunk.start,
            chunk.end,
            searchable_text(chunk.text),
        )
        for chunk in chunks
    ]
    columns = ["tenant_id", "id", "document_id", "ordinal", "page", "text", "start", "end", "lexemes"]
    await _bulk_insert(tx, "chunks", columns, rows, {"lexemes": "text"}, {"lexemes": "chunk_lexemes(%s)"})


async def chunks_after(reads: Reads, document_id: UUID, ordinal: int, limit: int) -> list[StoredChunk]:
    """The document's next chunks after number `ordinal`, in order."""
    statement = (
        sa.select(_chunks.c.id, _chunks.c.ordinal, _chunks.c.text)
        .where(
            _chunks.c.tenant_id == reads.tenant_id,
            _chunks.c.document_id == document_id,
            _chunks.c.ordinal > ordinal,
        )
        .order_by(_chunks.c.ordinal)
        .limit(limit)
    )
    return await reads.records(StoredChunk, statement)


async def add_embeddings(
    tx: WriteTransaction, model_id: str, chunk_ids: Sequence[UUID], vectors: npt.NDArray[np.float32]
) -> None:
    """Store unit vectors, shape (len(chunk_ids), dimensions), as halfvec: one COPY and one INSERT, however many."""
    rows = [
        (tx.tenant_id, new_id(), chunk_id, model_id, HalfVector(vector).to_text())
        for chunk_id, vector in zip(chunk_ids, vectors, strict=True)
    ]
    columns = ["tenant_id", "id", "chunk_id", "model_id", "vector"]
    await _bulk_insert(tx, "embeddings", columns, rows, {"vector": "text"}, {"vector": "halfvec"})


async def unfinished(tx: PlatformTransaction, limit: int) -> list[tuple[TenantId, UUID, int]]:
    """Tenant, id and epoch of documents whose job shows no sign of life, of every tenant that is not suspended."""
    statement = (
        sa.select(_documents.c.tenant_id, _documents.c.id, _documents.c.epoch)
        .where(
            _documents.c.status.in_(UNFINISHED),
            _documents.c.heartbeat_at < sa.func.now() - STALE_AFTER,
            ~suspended(_documents.c.tenant_id),
        )
        .order_by(_documents.c.heartbeat_at)
        .limit(limit)
    )
    return [(TenantId(row[0]), row[1], row[2]) for row in await tx.rows(statement)]


async def _bulk_insert(
    tx: WriteTransaction,
    target: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    staged_types: dict[str, str],
    conversions: dict[str, str],
) -> None:
    """COPY into a temporary table, then INSERT … SELECT. All names are this module's own, never a client's."""
    if not rows:
        return
    staging = f"staging_{target}"
    quoted = ", ".join(f'"{column}"' for column in columns)
    blank = ", ".join(f'NULL::{staged_types[c]} AS "{c}"' if c in staged_types else f'"{c}"' for c in columns)
    await tx.execute(sa.text(f"DROP TABLE IF EXISTS pg_temp.{staging}"))
    await tx.execute(
        sa.text(
            f"CREATE TEMPORARY TABLE {staging} ON COMMIT DROP AS SELECT {blank} FROM {target} WITH NO DATA".replace(
                "::", r"\:\:"
            )
        )
    )
    await tx.copy(staging, columns, rows)
    values = ", ".join(
        (conversions[c] % f'"{c}"' if "%s" in conversions[c] else f'CAST("{c}" AS {conversions[c]})')
        if c in conversions
        else f'"{c}"'
        for c in columns
    )
    await tx.execute(sa.text(f"INSERT INTO {target} ({quoted}) SELECT {values} FROM pg_temp.{staging}"))
