"""Documents that clients may name by their hash; of the whole platform, so through its door alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from datastores.models import TrustedDocument
from datastores.records import table
from datastores.transactions import PlatformTransaction

_documents = table(TrustedDocument)


@dataclass(slots=True)
class TrustedDocumentRecord:
    """A registered document, without its text."""

    hash: str
    name: str | None
    added_at: datetime


async def hashes(tx: PlatformTransaction) -> frozenset[str]:
    """Of all that are registered: they are the operations of an organisation's own clients, hundreds at most."""
    return frozenset(row[0] for row in await tx.rows(sa.select(_documents.c.hash)))


async def text_of(tx: PlatformTransaction, name: str) -> str | None:
    """The text with this hash."""
    rows = await tx.rows(sa.select(_documents.c.text).where(_documents.c.hash == name))
    return rows[0][0] if rows else None


async def registered(tx: PlatformTransaction) -> list[TrustedDocumentRecord]:
    """All of them, the oldest first."""
    statement = sa.select(_documents.c.hash, _documents.c.name, _documents.c.added_at)
    return await tx.records(TrustedDocumentRecord, statement.order_by(_documents.c.added_at, _documents.c.hash))


async def add(tx: PlatformTransaction, documents: Sequence[tuple[str, str | None, str]]) -> int:
    """Register (hash, name, text) each; how many are new."""
    values = [{"hash": key, "name": name, "text": text} for key, name, text in documents]
    return await tx.execute(insert(_documents).values(values).on_conflict_do_nothing())


async def remove(tx: PlatformTransaction, key: str) -> bool:
    """Whether there was one with this hash; it is gone now."""
    return await tx.execute(sa.delete(_documents).where(_documents.c.hash == key)) > 0
