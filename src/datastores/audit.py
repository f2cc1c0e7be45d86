"""The audit log in PostgreSQL: adding to it, reading a tenant's part of it, and its months."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa

from core.ids import TenantId, new_id
from datastores.models import AuditEntry
from datastores.pages import Page, PageRequest, keyset_page
from datastores.records import AuditRecord, select_record, table, values_of
from datastores.transactions import PlatformTransaction, Reads, WriteTransaction

NO_TENANT = TenantId(UUID(int=0))
"""Whose are acts of no tenant. No tenant has this id, and no token is for it."""
_audit = table(AuditEntry)
_ADD = sa.insert(_audit)
_ENSURE = sa.text("SELECT ensure_audit_partitions()")


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted: None does not narrow. `begin` is in the range, `end` is not."""

    action: str | None = None
    actor_id: UUID | None = None
    begin: datetime | None = None
    end: datetime | None = None


def new_entry_key() -> tuple[UUID, datetime]:
    """Id and time of a new entry: the time is the id's own, to the millisecond, so that both give one order."""
    id = new_id()
    return id, datetime.fromtimestamp((id.int >> 80) / 1_000, UTC)


async def add_entry(tx: WriteTransaction | PlatformTransaction, entry: AuditRecord) -> None:
    """One statement. A tenant's door takes that tenant's entries, the platform's door any."""
    await tx.execute(_ADD, values_of(entry))


async def entries(reads: Reads, wanted: AuditFilter, request: PageRequest) -> Page[AuditRecord]:
    """The tenant's entries, newest first."""
    statement = select_record(AuditRecord).where(_audit.c.tenant_id == reads.tenant_id)
    if wanted.action is not None:
        statement = statement.where(_audit.c.action == wanted.action)
    if wanted.actor_id is not None:
        statement = statement.where(_audit.c.actor_id == wanted.actor_id)
    # The same said of the ids, for the planner: it leaves out months by them.
    if wanted.begin is not None:
        statement = statement.where(_audit.c.at >= wanted.begin, _audit.c.id >= _first_id(wanted.begin))
    if wanted.end is not None:
        statement = statement.where(_audit.c.at < wanted.end, _audit.c.id < _first_id(wanted.end, round_up=True))
    return await keyset_page(reads, AuditRecord, statement, [_audit.c.at, _audit.c.id], request, descending=True)


async def ensure_partitions(tx: PlatformTransaction) -> int:
    """Make the partitions of this month and the next two where they are missing; how many were."""
    return int(await tx.scalar(_ENSURE))


def _first_id(moment: datetime, *, round_up: bool = False) -> UUID:
    """The least UUIDv7 of a moment's millisecond, or of the one after it; the least of all before 1970."""
    milliseconds = int(moment.timestamp() * 1_000) + round_up
    return UUID(int=max(0, milliseconds) << 80)
