"""Tenants' own keys for hosted models, as they are stored: sealed."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from core.ids import TenantId, new_id
from datastores.models import ProviderKey, Tenant
from datastores.records import ProviderKeyRecord, select_record, table
from datastores.transactions import PlatformTransaction, Reads, WriteTransaction

_keys, _tenants = table(ProviderKey), table(Tenant)


async def set_key(tx: WriteTransaction, *, provider: str, sealed: str, hint: str) -> ProviderKeyRecord:
    """The tenant's key for that provider, in the place of one that there is."""
    row = {"tenant_id": tx.tenant_id, "id": new_id(), "provider": provider, "sealed": sealed, "hint": hint}
    replaced = {"sealed": sealed, "hint": hint, "set_at": sa.func.now()}
    statement = postgresql.insert(_keys).values(row)
    await tx.execute(statement.on_conflict_do_update(index_elements=["tenant_id", "provider"], set_=replaced))
    found = await key_of(tx, provider)
    assert found is not None, "it has just been set"
    return found


async def remove_key(tx: WriteTransaction, provider: str) -> UUID | None:
    """The removed key's id; None where there was none."""
    statement = sa.delete(_keys).where(_keys.c.tenant_id == tx.tenant_id, _keys.c.provider == provider)
    rows = await tx.rows(statement.returning(_keys.c.id))
    return rows[0][0] if rows else None


async def key_of(reads: Reads, provider: str) -> ProviderKeyRecord | None:
    """What may be told of the tenant's key for that provider."""
    return await reads.first(ProviderKeyRecord, _of_tenant(reads).where(_keys.c.provider == provider))


async def keys_of_tenant(reads: Reads) -> list[ProviderKeyRecord]:
    """The same of all of its keys."""
    return await reads.records(ProviderKeyRecord, _of_tenant(reads))


async def sealed_keys(reads: Reads) -> dict[str, str]:
    """The tenant's keys by provider, as they are sealed."""
    statement = sa.select(_keys.c.provider, _keys.c.sealed).where(_keys.c.tenant_id == reads.tenant_id)
    return {row[0]: row[1] for row in await reads.rows(statement)}


async def replace_sealed(tx: WriteTransaction, provider: str, old: str, new: str) -> bool:
    """Store the same key as it is sealed now, unless another one has been set meanwhile."""
    own = (_keys.c.tenant_id == tx.tenant_id, _keys.c.provider == provider, _keys.c.sealed == old)
    return bool(await tx.execute(sa.update(_keys).where(*own).values(sealed=new)))


async def all_tenants(tx: PlatformTransaction) -> Sequence[TenantId]:
    """Whose keys there may be, in no order."""
    return [TenantId(row[0]) for row in await tx.rows(sa.select(_tenants.c.id))]


def _of_tenant(reads: Reads) -> sa.Select[tuple[object, ...]]:
    return select_record(ProviderKeyRecord).where(_keys.c.tenant_id == reads.tenant_id)
