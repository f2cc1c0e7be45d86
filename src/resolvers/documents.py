"""Documents: uploading, reading, following their progress."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.errors import DocumentError, ErrorCode, RequestError, RequestErrorCode
from core.ids import NodeKind, TenantId, new_id
from core.security import ForgedLinkError, InvalidTokenError
from datastores import assistants, document_changes, file_removals, knowledge, people, redis_keys, tenants
from datastores.models import Document, DocumentStatus
from datastores.pages import Page, PageRequest
from datastores.records import DocumentRecord, UserRecord
from datastores.storage.base import FileTooLargeError, StorageError, StoredFile
from ingest.sniff import ContentType, sniff
from resolvers import quotas
from resolvers.arguments import argument_id, input_id
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.results import (
    DuplicateDocument,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    RateLimited,
    UploadRejected,
)
from resolvers.services import Services
from resolvers.stored_files import remove_file
from resolvers.texts import refused_name

NAME_CHARS = 255
SILENCE_SECONDS = 5.0
"""A follower looks at the document at least this often, whether or not it is told to."""
STORAGE_AGAIN_MS = 5_000
"""After which a client may try to upload again that was told that storage is away: its tries took it some seconds."""
FINAL = (DocumentStatus.READY, DocumentStatus.FAILED, DocumentStatus.CANCELLED)


@dataclass(slots=True)
class Upload:
    """A file as it arrives: the client's name for it, and its bytes in pieces."""

    name: str
    pieces: AsyncIterator[bytes]


@dataclass(slots=True)
class Progress:
    """Where a document stands. `eta_seconds` is None until a pace is known."""

    document: DocumentRecord
    eta_seconds: float | None


log = structlog.get_logger(__name__)


class _NoAssistantError(Exception):
    """The assistant was removed while the file came: the document is not kept either."""


async def documents(
    context: Context, statuses: Sequence[DocumentStatus] | None, assistant_id: str | None, page: PageRequest
) -> Page[DocumentRecord]:
    """The documents that the signed-in person may read, newest first; of an assistant those in its scope.

    Raises `RequestError`.
    """
    person = await context.authorise(Operation.VIEWER_DOCUMENTS)
    assigned_to: UUID | None = None
    if assistant_id is not None:
        assistant = await people.assistant_or_default(context.reads, argument_id(NodeKind.ASSISTANT, assistant_id))
        if assistant is None:
            raise RequestError.bad_input("There is no such assistant.")
        assigned_to = assistant.assigned_to
    return await knowledge.documents(context.reads, person, statuses, assigned_to, page)


async def may_upload(context: Context) -> UserRecord:
    """The person, who may upload. Raises `RequestError`; asked before a file is received, too."""
    return await context.authorise(Operation.UPLOAD_DOCUMENT)


async def admit_upload(context: Context) -> bool:
    """Whether a request's file is to be received at all: who may not upload raises `RequestError`, who does so too
    often is told by `upload_document`."""
    await may_upload(context)
    context.refused_upload = await context.take(context.by_person(context.limits.uploads))
    return context.refused_upload is None


async def upload_document(
    context: Context, upload: Upload, *, name: str | None, assistant_id: str | None
) -> DocumentRecord | DuplicateDocument | QuotaExceeded | UploadRejected | InvalidInput | NotFound | RateLimited:
    """Keep the file, record the document, and wake a worker. A refused file leaves nothing behind."""
    person = await may_upload(context)
    if context.refused_upload is not None:
        return context.refused_upload
    tenant_id = TenantId(person.tenant_id)
    shown_name = (name if name is not None else upload.name).strip()
    if (refused := refused_name(shown_name, NAME_CHARS)) is not None:
        return refused
    wanted: UUID | None = None
    if assistant_id is not None:
        parsed = input_id(NodeKind.ASSISTANT, assistant_id, "assistantId")
        if isinstance(parsed, InvalidInput):
            return parsed
        wanted = parsed
        if await people.assistant_or_default(context.reads, wanted) is None:
            return NotFound.of("assistant")
    # The transaction must not stay open, nor its connection be held, while the file is copied.
    await context.reads.aclose()
    document_id = new_id()
    limit = context.services.settings.upload_max_bytes
    async with context.services.postgres.write(tenant_id) as tx:
        await file_removals.expect(tx, document_id)
    kept = False
    lost = False
    try:
        stored = await context.services.files.save(tenant_id, document_id, upload.pieces, limit)
        content_type = sniff(stored.head, upload.name)
        result = await _record(context, tenant_id, document_id, person.id, shown_name, stored, content_type, wanted)
        kept = isinstance(result, DocumentRecord)
    except FileTooLargeError:
        return UploadRejected(ErrorCode.TOO_LARGE, f"The file is larger than {limit} bytes, the most allowed.")
    except _NoAssistantError:
        return NotFound.of("assistant")
    except DocumentError as error:
        return UploadRejected(error.code, error.message)
    except StorageError as error:
        lost = True
        log.warning("upload not stored", document=document_id.hex, error=str(error))
        away = "The file could not be stored. Nothing has been kept of it: try again shortly."
        raise RequestError(RequestErrorCode.INTERNAL, away, retry_after_ms=STORAGE_AGAIN_MS) from error
    finally:
        # What was sent to a storage that is away may arrive yet: the sweep removes it, when no upload takes so long.
        if not kept and not lost:
            await remove_file(context.services, tenant_id, document_id)
    if kept:
        await context.services.document_news.tell(tenant_id, document_id)
        await context.services.queue.ingest_document(tenant_id, document_id)
    return result


async def _record(
    context: Context,
    tenant_id: TenantId,
    document_id: UUID,
    person_id: UUID,
    name: str,
    stored: StoredFile,
    content_type: ContentType,
    assistant_id: UUID | None,
) -> DocumentRecord | DuplicateDocument | QuotaExceeded:
    async with context.write() as tx:
        # One upload at a time looks and adds: what is there once it may is all that was there before.
        await document_changes.hold_additions(tx)
        copy = await knowledge.live_copy(tx, stored.sha256)
        if copy is None:
            if (refused := await quotas.refusal(tx, context.services.settings, stored.byte_size)) is not None:
                return refused
            if not await file_removals.keep(tx, document_id):
                raise TimeoutError("the file was not recorded in time, and has been removed")
            document = Document(
                tenant_id=tenant_id,
                id=document_id,
                name=name,
                content_type=content_type.value,
                byte_size=stored.byte_size,
                sha256=stored.sha256,
                uploaded_by_id=person_id,
            )
            tx.session.add(document)
            context.acts_on(NodeKind.DOCUMENT, document_id)
        if assistant_id is not None:
            if await people.assistant_or_default(tx, assistant_id) is None:
                raise _NoAssistantError
            await assistants.assign(tx, assistant_id, [document_id if copy is None else copy.id])
        record = copy or await knowledge.document_by_id(tx, document_id)
    assert record is not None
    return record if copy is None else DuplicateDocument.of(copy)


async def follow_progress(context: Context, document_id: str) -> AsyncGenerator[Progress, None]:
    """The document as it is now and whenever it changes, until READY, FAILED or CANCELLED.

    Raises `RequestError` at once for a malformed, unknown or unreadable document.
    """
    wanted = argument_id(NodeKind.DOCUMENT, document_id)
    person = await context.authorise(Operation.DOCUMENT_PROGRESS)
    if not await knowledge.readable_documents(context.reads, person, [wanted]):
        raise RequestError.bad_input("There is no such document.")
    await context.reads.aclose()
    return _progress(context, person, wanted)


async def _progress(context: Context, person: UserRecord, document_id: UUID) -> AsyncGenerator[Progress, None]:
    services, tenant_id = context.services, TenantId(person.tenant_id)
    last: DocumentRecord | None = None
    pace_from: tuple[float, int] | None = None
    async with services.live.follow(redis_keys.document_live(tenant_id, document_id)) as feed:
        while True:
            try:
                async with services.postgres.read(tenant_id) as tx:
                    # It may have left the person's scope meanwhile, which ends this as its deletion does.
                    readable = await knowledge.readable_documents(tx, context.known_person or person, [document_id])
            except (SQLAlchemyError, OSError):
                record = last  # the database is away: say nothing, look again later
            else:
                if not readable:
                    return
                (record,) = readable
            if record is not None and record != last:
                now = time.monotonic()
                if record.status is DocumentStatus.EMBEDDING and pace_from is None:
                    pace_from = (now, record.chunks_done)
                yield Progress(record, _eta(record, pace_from, now))
                if record.status in FINAL:
                    return
                last = record
            await feed.take(SILENCE_SECONDS)


def _eta(record: DocumentRecord, pace_from: tuple[float, int] | None, now: float) -> float | None:
    if record.status in FINAL:
        return 0.0
    if pace_from is None or record.chunks_total is None or record.chunks_done <= pace_from[1]:
        return None
    seconds_each = (now - pace_from[0]) / (record.chunks_done - pace_from[1])
    return round(seconds_each * (record.chunks_total - record.chunks_done), 1)


def content_url(context: Context, record: DocumentRecord) -> str | None:
    """A signed link to the original that expires; None where the original is not kept."""
    if not record.stored:
        return None
    expires_at = int(time.time()) + context.services.settings.file_link_ttl
    signed = context.services.signer.sign_file(TenantId(record.tenant_id), record.id, expires_at)
    return f"{context.public_url}/files/{signed}"


async def open_link(services: Services, signed: str) -> DocumentRecord | None:
    """The document that a signed link opens; None where none is kept of it, or the link is none of ours.

    Raises `InvalidTokenError` for one that has been good.
    """
    try:
        tenant_id, document_id = services.signer.check_file(signed, time.time())
    except ForgedLinkError:
        return None
    async with services.postgres.read(tenant_id) as tx:
        if await tenants.is_suspended(tx):
            raise InvalidTokenError("This organisation is suspended.")
        record = await knowledge.document_by_id(tx, document_id)
    return record if record is not None and record.stored else None
