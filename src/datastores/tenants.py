"""Organisations as an administrator of the platform sees them, and what their suspension means to everybody else."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.ids import TenantId
from datastores.models import Tenant
from datastores.pages import Page, PageRequest, narrow, page_of
from datastores.records import TenantRecord, select_record, table
from datastores.transactions import PlatformTransaction, Reads, WriteTransaction

_tenants = table(Tenant)
PLATFORM_TENANT = TenantId(UUID("00000000-0000-7000-8000-000000000000"))
"""The organisation of those who administer the platform. One fixed id, so that there is one, and nobody can found
another and have administrators put into it; a name would be anybody's to choose."""


def suspended(tenant_id: sa.ColumnElement[UUID]) -> sa.ColumnElement[bool]:
    """Whether the tenant that this column names is suspended, as a condition of a statement about its rows."""
    return sa.exists().where(_tenants.c.id == tenant_id, _tenants.c.suspended_at.is_not(None))


async def is_suspended(reads: Reads) -> bool:
    """Whether the transaction's own tenant is."""
    return bool(await reads.scalar(sa.select(suspended(sa.literal(reads.tenant_id, sa.Uuid())))))


async def suspended_among(tx: PlatformTransaction, tenant_ids: Iterable[TenantId]) -> set[TenantId]:
    """Those of the tenants that are suspended."""
    wanted = list(tenant_ids)
    if not wanted:
        return set()
    statement = sa.select(_tenants.c.id).where(_tenants.c.id.in_(wanted), _tenants.c.suspended_at.is_not(None))
    return {TenantId(row[0]) for row in await tx.rows(statement)}


async def tenants(
    tx: PlatformTransaction, name: str | None, among_suspended: bool | None, request: PageRequest
) -> Page[TenantRecord]:
    """All tenants, newest first; `name` keeps those whose name contains it, in any case.

    `among_suspended` keeps those that are (True) or are not (False).
    """
    statement = select_record(TenantRecord)
    if name:
        statement = statement.where(_tenants.c.name.icontains(name, autoescape=True))
    if among_suspended is not None:
        since = _tenants.c.suspended_at
        statement = statement.where(since.is_not(None) if among_suspended else since.is_(None))
    keys = [_tenants.c.created_at, _tenants.c.id]
    rows = await tx.records(TenantRecord, narrow(statement, keys, request, descending=True))
    return page_of(rows, request)


async def tenant_ids(tx: PlatformTransaction) -> list[TenantId]:
    """Every tenant's, oldest first."""
    return [TenantId(row[0]) for row in await tx.rows(sa.select(_tenants.c.id).order_by(_tenants.c.id))]


async def tenant_by_id(tx: PlatformTransaction, tenant_id: UUID) -> TenantRecord | None:
    """Any tenant."""
    return await tx.first(TenantRecord, select_record(TenantRecord).where(_tenants.c.id == tenant_id))


async def hold_tenant(tx: WriteTransaction) -> None:
    """Let nobody else hold the transaction's own tenant until it ends: for what is counted of a tenant and then added.

    Not for what refers to the tenant: every row does.
    """
    held = sa.select(_tenants.c.id).where(_tenants.c.id == tx.tenant_id)
    await tx.rows(held.with_for_update(key_share=True))


async def hold_tenants(tx: PlatformTransaction, tenant_ids: Collection[UUID]) -> None:
    """Let nobody else suspend or resume these tenants, or change their members, until this transaction ends."""
    # In one order, whoever asks, or two who hold each other's would wait for ever.
    held = sa.select(_tenants.c.id).where(_tenants.c.id.in_(tenant_ids)).order_by(_tenants.c.id)
    await tx.rows(held.with_for_update(key_share=True))


async def suspend(tx: PlatformTransaction, tenant_id: UUID) -> TenantRecord | None:
    """Suspend the tenant; a second suspension keeps the time of the first. None when there is no such tenant."""
    return await _set_suspended(tx, tenant_id, sa.func.coalesce(_tenants.c.suspended_at, sa.func.now()))


async def resume(tx: PlatformTransaction, tenant_id: UUID) -> TenantRecord | None:
    """Lift the suspension, if there is one. None when there is no such tenant."""
    return await _set_suspended(tx, tenant_id, sa.null())


async def _set_suspended(tx: PlatformTransaction, tenant_id: UUID, since: sa.ColumnElement[Any]) -> TenantRecord | None:
    await tx.execute(sa.update(_tenants).where(_tenants.c.id == tenant_id).values(suspended_at=since))
    return await tenant_by_id(tx, tenant_id)
