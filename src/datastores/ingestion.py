"""What the ingest job writes. Every statement is fenced by the document's epoch; bulk rows go through COPY."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from core.errors import ErrorCode
from core.ids import TenantId, new_id
from datastores.bulk_insert import bulk_insert
from datastores.lexical import searchable_text
from datastores.models import Chunk, Document, DocumentPage, DocumentStatus, Tenant
from datastores.records import table
from datastores.tenants import suspended
from datastores.transactions import PlatformTransaction, Reads, WriteTransaction

_documents, _chunks, _pages, _tenants = table(Document), table(Chunk), table(DocumentPage), table(Tenant)
CLAIMED = (DocumentStatus.PARSING, DocumentStatus.EMBEDDING)
UNFINISHED = (DocumentStatus.QUEUED, *CLAIMED)
STALE_AFTER = timedelta(seconds=30)
"""A job without a sign of life for so long is taken for dead."""
VANISHED = 1 << 16
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
    chunks_total: int | None
    """How many chunks it has, where it was read to its end before, and all of them are there; else None."""
    chunks_stored: int
    """Before the claim."""

    @property
    def vanished(self) -> int:
        """How many workers were not heard of again after they had claimed the document."""
        return self.epoch // VANISHED


@dataclass(slots=True)
class NewChunk:
    """A chunk to store; `page` is None where the file has no pages."""

    ordinal: int
    page: int | None
    text: str
    start: int
    end: int


async def claim(tx: WriteTransaction, document_id: UUID) -> ClaimedDocument | None:
    """Take the document over as its next epoch; None: done, or in good hands.

    What an earlier try left of one that was not read to its end is removed; else its chunks and vectors stay, and the
    next one goes on with those that have no vector. A document that waits was never begun, or was given back
    (`release`): its last worker has not vanished. Nothing of a suspended tenant's is begun.
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
            epoch=_documents.c.epoch + sa.case((waits, 1), else_=1 + VANISHED),
            status=DocumentStatus.PARSING,
            heartbeat_at=sa.func.clock_timestamp(),
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
            _documents.c.chunks_total,
            sa.select(sa.func.count())
            .where(_chunks.c.tenant_id == _documents.c.tenant_id, _chunks.c.document_id == _documents.c.id)
            .scalar_subquery()
            .label("chunks_stored"),
        )
    )
    claimed = await tx.first(ClaimedDocument, statement)
    if claimed is None:
        return None
    if claimed.chunks_total != claimed.chunks_stored:
        claimed.chunks_total = None
        await record_progress(tx, document_id, claimed.epoch, pages_done=0, chunks_done=0, chunks_total=None)
    await remove_unless_whole(tx, document_id)
    return claimed


async def remove_unless_whole(tx: WriteTransaction, document_id: UUID) -> None:
    """Remove the pages and chunks of a document that was not read to its end. Its row is held."""
    torn = sa.exists().where(
        _documents.c.tenant_id == tx.tenant_id, _documents.c.id == document_id, _documents.c.chunks_total.is_(None)
    )
    for rows in (_chunks, _pages):
        mine = (rows.c.tenant_id == tx.tenant_id, rows.c.document_id == document_id)
        await tx.execute(sa.delete(rows).where(*mine, torn))


async def is_claimed(reads: Reads, document_id: UUID, epoch: int) -> bool:
    """Whether the document is still this claim's: neither deleted, nor cancelled, nor taken over."""
    statement = sa.select(sa.literal(1)).where(
        _documents.c.tenant_id == reads.tenant_id,
        _documents.c.id == document_id,
        _documents.c.epoch == epoch,
        _documents.c.status.in_(CLAIMED),
    )
    return await reads.scalar(statement) is not None


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


async def release(tx: WriteTransaction, document_id: UUID, epoch: int) -> None:
    """Put a claimed document back into the queue, for the next sweep to find at once. May raise as above."""
    long_ago = sa.func.now() - 2 * STALE_AFTER
    await record_progress(tx, document_id, epoch, status=DocumentStatus.QUEUED, heartbeat_at=long_ago)


async def fail(
    tx: WriteTransaction, document_id: UUID, epoch: int, code: ErrorCode, message: str, *, retryable: bool
) -> None:
    """End the document as FAILED; nothing of it is found. May raise as above.

    Of one that was read to its end the pages and chunks stay, for a retry.
    """
    await record_progress(
        tx,
        document_id,
        epoch,
        status=DocumentStatus.FAILED,
        failure_code=code,
        failure_message=message,
        failure_retryable=retryable,
    )
    await remove_unless_whole(tx, document_id)


async def add_pages(
    tx: WriteTransaction, document_id: UUID, pages: Sequence[tuple[int, str, list[Any] | None]]
) -> None:
    """Store pages `(number, text, source map)`: one COPY and one INSERT, however many."""
    rows = [
        (tx.tenant_id, new_id(), document_id, number, text, None if source is None else orjson.dumps(source).decode())
        for number, text, source in pages
    ]
    columns = ["tenant_id", "id", "document_id", "number", "text", "source_map"]
    await bulk_insert(tx, "document_pages", columns, rows, {"source_map": "text"}, {"source_map": "jsonb"})


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
    await bulk_insert(tx, "chunks", columns, rows, {"lexemes": "text"}, {"lexemes": "chunk_lexemes(%s)"})


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
