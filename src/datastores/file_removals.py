"""Which stored files are to go, as entries of the outbox: a process that is killed leaves none behind for ever.

A file has its entry before its first byte is written, and loses it in the transaction that records the document; a
deleted document's file gets one in the transaction that deletes the row. So whatever is in storage has a row or an
entry. Whoever has claimed an entry may have removed the file: from then on it cannot be kept.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from datastores import outbox
from datastores.models import OutboxEntry
from datastores.outbox import ClaimedEntry
from datastores.records import table
from datastores.transactions import PlatformTransaction, WriteTransaction

FILE = "file"
GRACE = timedelta(hours=1)
"""For a file to be written and recorded. It is on this machine already when that begins."""
RETRY = timedelta(minutes=1)
"""After a removal that storage refused."""
_outbox = table(OutboxEntry)


async def expect(tx: WriteTransaction, document_id: UUID) -> None:
    """Before a file is written: it goes after `GRACE`, unless it is kept."""
    await _add(tx, document_id, GRACE)


async def keep(tx: WriteTransaction, document_id: UUID) -> bool:
    """In the transaction that records the document: the file stays. False where it is too late."""
    untouched = (*_of(tx, document_id), _outbox.c.attempts == 0)
    return await tx.execute(sa.delete(_outbox).where(*untouched)) > 0


async def demand(tx: WriteTransaction, document_id: UUID) -> None:
    """In the transaction that deletes the document: its file is to go. Call `done` when it is gone."""
    await _add(tx, document_id, timedelta(0))


async def done(tx: WriteTransaction, document_id: UUID) -> None:
    """The file is gone."""
    await tx.execute(sa.delete(_outbox).where(*_of(tx, document_id)))


async def claim(tx: PlatformTransaction) -> ClaimedEntry | None:
    """The next file that is to go, of whatever tenant; its document's id is the entry's."""
    return await outbox.claim(tx, FILE)


async def _add(tx: WriteTransaction, document_id: UUID, after: timedelta) -> None:
    values = {"tenant_id": tx.tenant_id, "id": document_id, "topic": FILE, "payload": {}}
    await tx.execute(sa.insert(_outbox).values({**values, "next_try_at": sa.func.now() + after}))


def _of(tx: WriteTransaction, document_id: UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return (_outbox.c.tenant_id == tx.tenant_id, _outbox.c.id == document_id, _outbox.c.topic == FILE)
