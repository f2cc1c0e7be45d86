"""How much a tenant may keep, and how much it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from core.settings import Settings
from datastores.models import Document, Tenant
from datastores.records import table
from datastores.transactions import PlatformTransaction, Reads

_documents, _tenants = table(Document), table(Tenant)


@dataclass(frozen=True, slots=True)
class Quota:
    """A number of documents, and of bytes of their originals."""

    documents: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What the tenant may keep, and what it keeps, of whatever status: it is given back when it is deleted."""

    limit: Quota
    used: Quota


async def standing(reads: Reads, settings: Settings) -> Standing:
    """As of now. In a transaction that holds the tenant's documents, nobody adds to them before its end."""
    mine = _documents.c.tenant_id == reads.tenant_id
    kept_bytes = sa.func.coalesce(sa.func.sum(_documents.c.byte_size).filter(_documents.c.stored), 0)
    kept = sa.select(sa.func.count().label("documents"), kept_bytes.label("bytes")).where(mine).subquery()
    statement = (
        sa.select(
            sa.func.coalesce(_tenants.c.quota_documents, settings.quota_documents),
            sa.func.coalesce(_tenants.c.quota_bytes, settings.quota_bytes),
            kept.c.documents,
            kept.c.bytes,
        )
        .select_from(_tenants.join(kept, sa.true()))
        .where(_tenants.c.id == reads.tenant_id)
    )
    ((documents, size, documents_kept, bytes_kept),) = await reads.rows(statement)
    return Standing(Quota(documents, size), Quota(int(documents_kept), int(bytes_kept)))


async def set_quota(tx: PlatformTransaction, tenant_id: UUID, *, documents: int | None, bytes: int | None) -> bool:
    """What the tenant may keep from now on; None is the platform's default. False where there is no such tenant."""
    statement = sa.update(_tenants).where(_tenants.c.id == tenant_id)
    return await tx.execute(statement.values(quota_documents=documents, quota_bytes=bytes)) > 0
