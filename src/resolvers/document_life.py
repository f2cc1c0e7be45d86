"""Cancelling a document, having it read again, deleting it: whatever a worker is doing with it meanwhile."""

from __future__ import annotations

from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from core.errors import ErrorCode
from core.ids import NodeKind, TenantId
from datastores import document_changes, file_removals, knowledge
from datastores.ingestion import UNFINISHED
from datastores.models import DocumentStatus
from datastores.outages import is_conflict
from datastores.records import DocumentRecord
from datastores.transactions import WriteTransaction
from resolvers.arguments import input_id
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.results import Conflict, DuplicateDocument, InvalidInput, NotFound, RateLimited
from resolvers.stored_files import remove_file

ENDED = (DocumentStatus.FAILED, DocumentStatus.CANCELLED)
FAULTS_OF_THE_FILE = frozenset(
    {
        ErrorCode.ENCRYPTED,
        ErrorCode.NO_TEXT,
        ErrorCode.EMPTY,
        ErrorCode.CORRUPT,
        ErrorCode.UNSUPPORTED_TYPE,
        ErrorCode.TOO_LARGE,
        ErrorCode.TOO_MANY_PAGES,
    }
)
"""Reading the same bytes again would end the same."""
DELETE_TRIES = 3
"""Its citations are rows of other people's answers: one of these may be deleted at the same time, in another order."""
log = structlog.get_logger(__name__)


async def cancel_document(context: Context, document_id: str) -> DocumentRecord | NotFound | InvalidInput | Conflict:
    """End a document that is not READY yet. Whoever reads or embeds it stops within half a second.

    Cancelling a cancelled one changes nothing.
    """
    person = await context.authorise(Operation.CANCEL_DOCUMENT)
    wanted = input_id(NodeKind.DOCUMENT, document_id, "documentId")
    if isinstance(wanted, InvalidInput):
        return wanted
    tenant_id = TenantId(person.tenant_id)
    async with context.write() as tx:
        found = await document_changes.hold(tx, wanted)
        if found is None:
            return NotFound.of("document")
        if found.status is DocumentStatus.CANCELLED:
            return found
        if found.status not in UNFINISHED:
            return Conflict(f"This document is {found.status.value}: there is nothing to cancel. Delete it instead.")
        await document_changes.cancel(tx, wanted)
        cancelled = await _as_it_stands(tx, wanted)
    await context.services.document_news.tell(tenant_id, wanted)
    try:
        async with context.services.postgres.write(tenant_id) as tx:
            await document_changes.forget_unfinished_text(tx, wanted)
    except (SQLAlchemyError, OSError) as error:
        # Whoever retries or deletes it does the same.
        log.warning("text of a cancelled document kept", document=wanted.hex, error=type(error).__name__)
    return cancelled


async def retry_document(
    context: Context, document_id: str
) -> DocumentRecord | NotFound | InvalidInput | Conflict | DuplicateDocument | RateLimited:
    """Have a FAILED or CANCELLED document read again: from its first page, or, where all of its text is stored, from
    the first passage without a vector."""
    person = await context.authorise(Operation.RETRY_DOCUMENT)
    # It is as much work as an upload.
    if (limited := await context.take(context.by_person(context.limits.uploads))) is not None:
        return limited
    wanted = input_id(NodeKind.DOCUMENT, document_id, "documentId")
    if isinstance(wanted, InvalidInput):
        return wanted
    tenant_id = TenantId(person.tenant_id)
    async with context.write() as tx:
        # As uploads do: none may bring the same bytes between the look and the change.
        await document_changes.hold_additions(tx)
        found = await document_changes.hold(tx, wanted)
        if found is None:
            return NotFound.of("document")
        if (refused := await _why_not_again(tx, found)) is not None:
            return refused
        epoch = await document_changes.requeue(tx, wanted)
        waiting = await _as_it_stands(tx, wanted)
    await context.services.document_news.tell(tenant_id, wanted)
    await context.services.queue.ingest_document(tenant_id, wanted, epoch)
    return waiting


async def _why_not_again(tx: WriteTransaction, document: DocumentRecord) -> Conflict | DuplicateDocument | None:
    if document.status not in ENDED:
        return Conflict(f"This document is {document.status.value}: only what has failed or was cancelled is retried.")
    if document.status is DocumentStatus.FAILED and document.failure_code in FAULTS_OF_THE_FILE:
        return Conflict("It is the file that cannot be read: upload another one.")
    if (copy := await knowledge.live_copy_of(tx, document.id)) is not None:
        return DuplicateDocument.of(copy)
    return None


async def delete_document(context: Context, document_id: str) -> UUID | NotFound | InvalidInput:
    """Delete a document with all that was made of it, and its file; its id. Citations keep what they say."""
    person = await context.authorise(Operation.DELETE_DOCUMENT)
    wanted = input_id(NodeKind.DOCUMENT, document_id, "documentId")
    if isinstance(wanted, InvalidInput):
        return wanted
    tenant_id = TenantId(person.tenant_id)
    if not await _deleted(context, wanted):
        return NotFound.of("document")
    await context.services.document_news.tell(tenant_id, wanted)
    await remove_file(context.services, tenant_id, wanted)
    return wanted


async def _deleted(context: Context, document_id: UUID) -> bool:
    tries = DELETE_TRIES
    while True:
        try:
            async with context.write() as tx:
                if not await document_changes.delete(tx, document_id):
                    return False
                await file_removals.demand(tx, document_id)
            return True
        except DBAPIError as error:
            tries -= 1
            if not tries or not is_conflict(error):
                raise


async def _as_it_stands(tx: WriteTransaction, document_id: UUID) -> DocumentRecord:
    record = await knowledge.document_by_id(tx, document_id)
    assert record is not None, "it is held"
    return record
