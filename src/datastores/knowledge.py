"""Documents as people see them: who may read which, and lookups of their pages and chunks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from datastores.models import (
    Assistant,
    AssistantDocument,
    Chunk,
    Document,
    DocumentScope,
    DocumentStatus,
)
from datastores.pages import Page, PageRequest, keyset_page
from datastores.records import ChunkRecord, DocumentRecord, UserRecord, select_record, table
from datastores.transactions import Reads, WriteTransaction

_documents, _chunks = table(Document), table(Chunk)
_assistants, _assigned = table(Assistant), table(AssistantDocument)
_TENANT: sa.BindParameter[Any] = sa.bindparam("tenant_id")
_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_EXISTING = (_chunks.c.tenant_id == _TENANT, _chunks.c.id.in_(_IDS))
_EXISTING_CHUNKS = sa.select(_chunks.c.id).where(*_EXISTING)
# The document before its chunks, as whoever deletes it comes upon them: there is one order of locks.
_HELD_DOCUMENTS = (
    sa.select(_documents.c.id)
    .where(_documents.c.tenant_id == _TENANT, _documents.c.id.in_(sa.select(_chunks.c.document_id).where(*_EXISTING)))
    .with_for_update(key_share=True)
    .cte("held")
)
_HOLD_CHUNKS = (
    sa.select(_chunks.c.id)
    .join(_HELD_DOCUMENTS, _HELD_DOCUMENTS.c.id == _chunks.c.document_id)
    .where(*_EXISTING)
    .with_for_update(key_share=True, of=_chunks)
)
_ENDED = (DocumentStatus.FAILED, DocumentStatus.CANCELLED)


def readable_by(person: UserRecord) -> sa.ColumnElement[bool]:
    """Which documents a person may read: those in the scope of an assistant of the tenant, or all of them."""
    return _readable(person.role.reads_all_documents)


def _readable(all_documents: bool) -> sa.ColumnElement[bool]:
    if all_documents:
        return sa.true()
    unlimited = sa.exists().where(
        _assistants.c.tenant_id == _documents.c.tenant_id, _assistants.c.document_scope == DocumentScope.ALL
    )
    assigned = sa.exists().where(
        _assigned.c.tenant_id == _documents.c.tenant_id, _assigned.c.document_id == _documents.c.id
    )
    return sa.or_(unlimited, assigned)


async def documents(
    reads: Reads,
    person: UserRecord,
    statuses: Sequence[DocumentStatus] | None,
    assigned_to: UUID | None,
    request: PageRequest,
) -> Page[DocumentRecord]:
    """The documents that a person may read, newest first; those that are assigned to the assistant, if one is named."""
    statement = select_record(DocumentRecord).where(_documents.c.tenant_id == reads.tenant_id, readable_by(person))
    if statuses is not None:
        statement = statement.where(_documents.c.status.in_(statuses))
    if assigned_to is not None:
        assigned = sa.exists().where(
            _assigned.c.tenant_id == _documents.c.tenant_id,
            _assigned.c.document_id == _documents.c.id,
            _assigned.c.assistant_id == assigned_to,
        )
        statement = statement.where(assigned)
    keys = [_documents.c.created_at, _documents.c.id]
    return await keyset_page(reads, DocumentRecord, statement, keys, request, descending=True)


async def readable_documents(reads: Reads, person: UserRecord, ids: Sequence[UUID]) -> list[DocumentRecord]:
    """Those of the documents that exist and that the person may read, in no order."""
    statement = select_record(DocumentRecord).where(
        _documents.c.tenant_id == reads.tenant_id, _documents.c.id.in_(ids), readable_by(person)
    )
    return await reads.records(DocumentRecord, statement)


async def readable_chunks(reads: Reads, person: UserRecord, ids: Sequence[UUID]) -> list[ChunkRecord]:
    """Those of the chunks that exist and whose document the person may read, in no order."""
    values = {"tenant_id": reads.tenant_id, "ids": ids}
    return await reads.records(ChunkRecord, _readable_chunks(person.role.reads_all_documents), values)


@cache
def _readable_chunks(all_documents: bool) -> sa.Select[Any]:
    return (
        select_record(ChunkRecord)
        .join(_documents, (_documents.c.tenant_id == _chunks.c.tenant_id) & (_documents.c.id == _chunks.c.document_id))
        .where(_chunks.c.tenant_id == _TENANT, _chunks.c.id.in_(_IDS), _readable(all_documents))
    )


async def document_by_id(reads: Reads, document_id: UUID) -> DocumentRecord | None:
    """The document, for whoever has been let through to it before."""
    statement = select_record(DocumentRecord).where(
        _documents.c.tenant_id == reads.tenant_id, _documents.c.id == document_id
    )
    return await reads.first(DocumentRecord, statement)


async def live_copy(reads: Reads, sha256: str) -> DocumentRecord | None:
    """The document with the same bytes that has not failed, if any."""
    statement = select_record(DocumentRecord).where(
        _documents.c.tenant_id == reads.tenant_id,
        _documents.c.sha256 == sha256,
        _documents.c.status.not_in(_ENDED),
    )
    return await reads.first(DocumentRecord, statement)


async def live_copy_of(reads: Reads, document_id: UUID) -> DocumentRecord | None:
    """As `live_copy`, of the bytes of this document, which has ended itself."""
    sha256 = sa.select(_documents.c.sha256).where(
        _documents.c.tenant_id == reads.tenant_id, _documents.c.id == document_id
    )
    statement = select_record(DocumentRecord).where(
        _documents.c.tenant_id == reads.tenant_id,
        _documents.c.sha256 == sha256.correlate(None).scalar_subquery(),
        _documents.c.status.not_in(_ENDED),
    )
    return await reads.first(DocumentRecord, statement)


async def existing_chunks(reads: Reads, ids: Sequence[UUID]) -> set[UUID]:
    """Those of the chunk ids that are stored; in a write transaction they stay until it ends."""
    if not ids:
        return set()
    held = isinstance(reads, WriteTransaction)
    values = {"tenant_id": reads.tenant_id, "ids": ids}
    return {row[0] for row in await reads.rows(_HOLD_CHUNKS if held else _EXISTING_CHUNKS, values)}
