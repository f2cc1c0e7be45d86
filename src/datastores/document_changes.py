"""What people do to a document: cancel it, have it read again, delete it. Nothing here is fenced by an epoch: a worker
that is in the middle finds the row changed, or gone, and writes no more."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from datastores.ingestion import VANISHED, remove_unless_whole
from datastores.models import Document, DocumentStatus
from datastores.records import DocumentRecord, select_record, table
from datastores.tenants import hold_tenant
from datastores.transactions import WriteTransaction

_documents = table(Document)
_FAILURE = ("failure_code", "failure_message", "failure_retryable")


async def hold_additions(tx: WriteTransaction) -> None:
    """Let nobody else add a document to the tenant, or bring one back, until this transaction ends."""
    await hold_tenant(tx)


async def hold(tx: WriteTransaction, document_id: UUID) -> DocumentRecord | None:
    """The document as it stands, and as it stands until the transaction ends; None: there is none.

    It waits for the batch that a worker is storing.
    """
    statement = select_record(DocumentRecord).where(*_is(tx, document_id)).with_for_update(key_share=True)
    return await tx.first(DocumentRecord, statement)


async def cancel(tx: WriteTransaction, document_id: UUID) -> None:
    """End the document, which is held and unfinished, as CANCELLED."""
    await _set(tx, document_id, status=DocumentStatus.CANCELLED)


async def forget_unfinished_text(tx: WriteTransaction, document_id: UUID) -> None:
    """Remove the pages and chunks of a cancelled document that was not read to its end: no retry could use them.

    Not in the transaction that cancels, which has to be quick: there may be tens of thousands.
    """
    held = await hold(tx, document_id)
    if held is not None and held.status is DocumentStatus.CANCELLED:
        await remove_unless_whole(tx, document_id)


async def requeue(tx: WriteTransaction, document_id: UUID) -> int:
    """Put the document, which is held and has ended, back into the queue; its epoch, which a wake-up is named by.

    How often it took its worker with it is forgotten.
    """
    epoch = _documents.c.epoch % VANISHED + 1
    await _set(
        tx,
        document_id,
        status=DocumentStatus.QUEUED,
        epoch=epoch,
        heartbeat_at=sa.func.clock_timestamp(),
        **dict.fromkeys(_FAILURE),
    )
    return int(await tx.scalar(sa.select(_documents.c.epoch).where(*_is(tx, document_id))))


async def delete(tx: WriteTransaction, document_id: UUID) -> bool:
    """Delete the document with its pages, chunks and vectors; whether there was one. Citations keep what they say."""
    return await tx.execute(sa.delete(_documents).where(*_is(tx, document_id))) > 0


async def _set(tx: WriteTransaction, document_id: UUID, **values: Any) -> None:
    await tx.execute(sa.update(_documents).where(*_is(tx, document_id)).values(values))


def _is(tx: WriteTransaction, document_id: UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return (_documents.c.tenant_id == tx.tenant_id, _documents.c.id == document_id)
