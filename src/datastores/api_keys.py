"""API keys: a program's way in, for the person who made it and within the role it was made with."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from datastores.models import ApiKey, Role, Tenant, User
from datastores.pages import Page, PageRequest, keyset_page
from datastores.records import ApiKeyRecord, UserRecord, select_record, table
from datastores.sessions import Refusal, Standing
from datastores.tenants import suspended
from datastores.transactions import Reads, WriteTransaction

_keys, _users, _tenants = table(ApiKey), table(User), table(Tenant)
USE_INTERVAL = timedelta(minutes=1)
"""`last_used_at` is no more exact than this: a write for each request would cost more than it tells."""


async def key_standing(reads: Reads, key_id: UUID, key_hash: bytes) -> Standing:
    """What a key is good for now: its maker, with the weaker of the key's and the maker's roles."""
    statement = (
        sa.select(
            *select_record(UserRecord).selected_columns,
            _keys.c.role,
            _users.c.suspended_at.is_not(None),
            _tenants.c.suspended_at.is_not(None),
            _keys.c.revoked_at.is_(None),
        )
        .select_from(_keys)
        .join(_users, sa.and_(_users.c.tenant_id == _keys.c.tenant_id, _users.c.id == _keys.c.user_id))
        .join(_tenants, _tenants.c.id == _keys.c.tenant_id)
        .where(_keys.c.tenant_id == reads.tenant_id, _keys.c.id == key_id, _keys.c.key_hash == key_hash)
    )
    rows = await reads.rows(statement)
    if not rows:
        return Standing(None, Refusal.KEY_REVOKED)
    *values, role, suspended, tenant_suspended, live = rows[0]
    person = UserRecord(*values)
    if person.role.covers(role):
        person.role = role
    if tenant_suspended:
        return Standing(person, Refusal.TENANT_SUSPENDED)
    if suspended:
        return Standing(person, Refusal.SUSPENDED)
    return Standing(person, None if live else Refusal.KEY_REVOKED)


async def hold_maker(tx: WriteTransaction, key_id: UUID) -> None:
    """Let nobody change or remove the key's maker, nor revoke the key, until this transaction ends."""
    maker = _keys.join(_users, sa.and_(_users.c.tenant_id == _keys.c.tenant_id, _users.c.id == _keys.c.user_id))
    rows = sa.select(_keys.c.id).select_from(maker).where(_keys.c.tenant_id == tx.tenant_id, _keys.c.id == key_id)
    await tx.rows(rows.with_for_update(read=True))


async def live_keys(tx: WriteTransaction, user_id: UUID) -> int:
    """How many keys of the person are not revoked; nobody adds one of theirs until the transaction ends."""
    person = sa.select(_users.c.id).where(_users.c.tenant_id == tx.tenant_id, _users.c.id == user_id)
    await tx.rows(person.with_for_update(key_share=True))
    statement = sa.select(sa.func.count()).where(
        _keys.c.tenant_id == tx.tenant_id, _keys.c.user_id == user_id, _keys.c.revoked_at.is_(None)
    )
    return int(await tx.scalar(statement))


async def add_key(
    tx: WriteTransaction, key_id: UUID, user_id: UUID, *, name: str, role: Role, key_hash: bytes, hint: str
) -> ApiKeyRecord:
    """A new key."""
    tx.session.add(
        ApiKey(tenant_id=tx.tenant_id, id=key_id, user_id=user_id, name=name, role=role, key_hash=key_hash, hint=hint)
    )
    await tx.session.flush()
    found = await tx.first(ApiKeyRecord, _of_tenant(tx).where(_keys.c.id == key_id))
    assert found is not None, "it has just been added"
    return found


async def keys_of_tenant(reads: Reads, request: PageRequest) -> Page[ApiKeyRecord]:
    """The tenant's keys that are not revoked, newest first."""
    order = [_keys.c.created_at, _keys.c.id]
    statement = _of_tenant(reads).where(_keys.c.revoked_at.is_(None))
    return await keyset_page(reads, ApiKeyRecord, statement, order, request, descending=True)


async def hold_key(tx: WriteTransaction, key_id: UUID) -> None:
    """Let nobody else change the key until this transaction ends."""
    key = sa.select(_keys.c.id).where(_keys.c.tenant_id == tx.tenant_id, _keys.c.id == key_id)
    await tx.rows(key.with_for_update(key_share=True))


async def revoke_key(tx: WriteTransaction, key_id: UUID) -> ApiKeyRecord | None:
    """End a key; None when there is no such key, or it has ended already."""
    changed = await tx.execute(
        sa.update(_keys)
        .where(_keys.c.tenant_id == tx.tenant_id, _keys.c.id == key_id, _keys.c.revoked_at.is_(None))
        .values(revoked_at=sa.func.now())
    )
    return await tx.first(ApiKeyRecord, _of_tenant(tx).where(_keys.c.id == key_id)) if changed else None


async def revoke_keys_of(tx: WriteTransaction, user_id: UUID) -> list[UUID]:
    """End all keys of a person; the ids of those that had not ended, oldest first."""
    mine = (_keys.c.tenant_id == tx.tenant_id, _keys.c.user_id == user_id, _keys.c.revoked_at.is_(None))
    ended = sa.update(_keys).where(*mine).values(revoked_at=sa.func.now()).returning(_keys.c.id)
    return sorted(row[0] for row in await tx.rows(ended))


async def note_use(tx: WriteTransaction, key_id: UUID) -> None:
    """The key has been used, within the last `USE_INTERVAL`. A suspended tenant's is of no use.

    Where somebody holds the key it is left to its next use: who asks what a key is good for does not wait.
    """
    stale = sa.or_(_keys.c.last_used_at.is_(None), _keys.c.last_used_at < sa.func.now() - USE_INTERVAL)
    free = (
        sa.select(_keys.c.id)
        .where(_keys.c.tenant_id == tx.tenant_id, _keys.c.id == key_id, stale, ~suspended(_keys.c.tenant_id))
        .with_for_update(skip_locked=True, key_share=True)
    )
    await tx.execute(
        sa.update(_keys)
        .where(_keys.c.tenant_id == tx.tenant_id, _keys.c.id.in_(free.scalar_subquery()))
        .values(last_used_at=sa.func.now())
    )


def _of_tenant(reads: Reads) -> sa.Select[tuple[object, ...]]:
    return select_record(ApiKeyRecord).where(_keys.c.tenant_id == reads.tenant_id)
