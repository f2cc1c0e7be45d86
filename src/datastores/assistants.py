"""Assistants as those who manage them need it: adding, changing, removing, and the documents of their scope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from core.ids import new_id
from datastores.models import Assistant, AssistantDocument, Conversation, Document
from datastores.records import AssistantRecord, select_record, table
from datastores.tenants import hold_tenant
from datastores.transactions import Reads, WriteTransaction

_assistants, _assigned, _documents = table(Assistant), table(AssistantDocument), table(Document)
_conversations = table(Conversation)


async def hold_assistants(tx: WriteTransaction) -> int:
    """How many assistants the tenant has; nobody adds or removes one until this transaction ends."""
    await hold_tenant(tx)
    count = sa.select(sa.func.count()).select_from(_assistants).where(_assistants.c.tenant_id == tx.tenant_id)
    return int(await tx.scalar(count))


async def assistant_by_id(reads: Reads, assistant_id: UUID) -> AssistantRecord | None:
    """The tenant's assistant of that id."""
    return await reads.first(AssistantRecord, _one(reads, assistant_id))


async def hold_assistant(tx: WriteTransaction, assistant_id: UUID) -> AssistantRecord | None:
    """The same; nobody changes or removes it until this transaction ends."""
    return await tx.first(AssistantRecord, _one(tx, assistant_id).with_for_update(key_share=True))


async def add_assistant(tx: WriteTransaction, assistant_id: UUID, values: Mapping[str, Any]) -> None:
    """A new assistant; what is not among the values is as the model has it."""
    tx.session.add(Assistant(tenant_id=tx.tenant_id, id=assistant_id, **values))
    await tx.session.flush()


async def change_assistant(tx: WriteTransaction, assistant_id: UUID, values: Mapping[str, Any]) -> None:
    """Set these columns."""
    if values:
        own = (_assistants.c.tenant_id == tx.tenant_id, _assistants.c.id == assistant_id)
        await tx.execute(sa.update(_assistants).where(*own).values(**values))


async def other_assistant(reads: Reads, than: UUID) -> UUID | None:
    """The oldest of the tenant's other assistants."""
    others = sa.select(_assistants.c.id).where(_assistants.c.tenant_id == reads.tenant_id, _assistants.c.id != than)
    oldest = others.order_by(_assistants.c.created_at, _assistants.c.id).limit(1)
    return await reads.scalar(oldest)  # type: ignore[no-any-return]


async def remove_assistant(tx: WriteTransaction, assistant_id: UUID, replacement_id: UUID) -> None:
    """Delete an assistant; its conversations, which go on with the other one, have a new version each."""
    # Whoever starts a conversation with it holds it: they are waited for, and then theirs is among those below.
    await tx.rows(_one(tx, assistant_id).with_for_update())
    own = (_conversations.c.tenant_id == tx.tenant_id) & (_conversations.c.assistant_id == assistant_id)
    # In the order in which a removed person's are held, or both would wait for ever.
    await tx.rows(sa.select(_conversations.c.id).where(own).order_by(_conversations.c.id).with_for_update())
    version = _conversations.c.version + 1
    moved = {"assistant_id": replacement_id, "version": version, "updated_version": version}
    await tx.execute(sa.update(_conversations).where(own).values(moved))
    await tx.execute(
        sa.delete(_assistants).where(_assistants.c.tenant_id == tx.tenant_id, _assistants.c.id == assistant_id)
    )


async def hold_documents(tx: WriteTransaction, ids: Sequence[UUID]) -> set[UUID]:
    """Those of the documents that the tenant has; nobody removes them until this transaction ends."""
    statement = sa.select(_documents.c.id).where(_documents.c.tenant_id == tx.tenant_id, _documents.c.id.in_(ids))
    rows = await tx.rows(statement.order_by(_documents.c.id).with_for_update(read=True, key_share=True))
    return {row[0] for row in rows}


async def assign(tx: WriteTransaction, assistant_id: UUID, document_ids: Sequence[UUID]) -> None:
    """Add documents, which must be there, to an assistant's scope. Those that are in it stay."""
    if not document_ids:
        return
    rows = [
        {"tenant_id": tx.tenant_id, "id": new_id(), "assistant_id": assistant_id, "document_id": document_id}
        for document_id in document_ids
    ]
    await tx.execute(postgresql.insert(_assigned).values(rows).on_conflict_do_nothing())


async def unassign(
    tx: WriteTransaction, assistant_id: UUID, *, only: Sequence[UUID] | None = None, but: Sequence[UUID] = ()
) -> None:
    """Take documents out of an assistant's scope: only these, or all but those."""
    those = [_assigned.c.tenant_id == tx.tenant_id, _assigned.c.assistant_id == assistant_id]
    those.append(_assigned.c.document_id.not_in(but) if only is None else _assigned.c.document_id.in_(only))
    await tx.execute(sa.delete(_assigned).where(*those))


def _one(reads: Reads, assistant_id: UUID) -> sa.Select[Any]:
    return select_record(AssistantRecord).where(
        _assistants.c.tenant_id == reads.tenant_id, _assistants.c.id == assistant_id
    )
