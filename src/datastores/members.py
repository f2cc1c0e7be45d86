"""The people of a tenant, as those who manage them need it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa

from datastores.models import Conversation, Role, User
from datastores.pages import Page, PageRequest, keyset_page
from datastores.records import UserRecord, select_record, table
from datastores.tenants import hold_tenant
from datastores.transactions import Reads, WriteTransaction

_users, _conversations = table(User), table(Conversation)


async def members(reads: Reads, request: PageRequest) -> Page[UserRecord]:
    """Everybody in the tenant, oldest first."""
    statement = select_record(UserRecord).where(_users.c.tenant_id == reads.tenant_id)
    keys = [_users.c.created_at, _users.c.id]
    return await keyset_page(reads, UserRecord, statement, keys, request, descending=False)


async def hold_members(tx: WriteTransaction) -> None:
    """Let nobody else change the tenant's members until this transaction ends: who is the last of a role stays so."""
    await hold_tenant(tx)


async def somebody_else(tx: WriteTransaction, user_id: UUID, roles: Sequence[Role]) -> bool:
    """Whether somebody else has one of these roles, and is not suspended."""
    statement = sa.select(sa.func.count()).where(
        _users.c.tenant_id == tx.tenant_id,
        _users.c.id != user_id,
        _users.c.role.in_(roles),
        _users.c.suspended_at.is_(None),
    )
    return bool(await tx.scalar(statement))


async def change_member(tx: WriteTransaction, user_id: UUID, *, role: Role | None, suspended: bool | None) -> None:
    """Set what is not None."""
    values: dict[str, object] = {} if role is None else {"role": role}
    if suspended is not None:
        # A second suspension keeps the time of the first.
        values["suspended_at"] = sa.func.coalesce(_users.c.suspended_at, sa.func.now()) if suspended else None
    if values:
        await tx.execute(
            sa.update(_users).where(_users.c.tenant_id == tx.tenant_id, _users.c.id == user_id).values(**values)
        )


async def hold_leaving(tx: WriteTransaction, user_id: UUID) -> None:
    """Let nobody else do anything with the person, or in their conversations, until this transaction ends."""
    # Who writes in a conversation holds it and then refers to the person: in this order, or both wait for ever.
    own = (_conversations.c.tenant_id == tx.tenant_id) & (_conversations.c.owner_id == user_id)
    await tx.rows(sa.select(_conversations.c.id).where(own).order_by(_conversations.c.id).with_for_update())
    person = sa.select(_users.c.id).where(_users.c.tenant_id == tx.tenant_id, _users.c.id == user_id)
    await tx.rows(person.with_for_update())


async def remove_member(tx: WriteTransaction, user_id: UUID) -> None:
    """Delete a person, who is held, with their conversations, sessions and keys. Documents they uploaded stay."""
    await tx.execute(sa.delete(_users).where(_users.c.tenant_id == tx.tenant_id, _users.c.id == user_id))


async def password_hash_of(reads: Reads, user_id: UUID) -> str | None:
    """What a person's password is checked against."""
    statement = sa.select(_users.c.password_hash).where(_users.c.tenant_id == reads.tenant_id, _users.c.id == user_id)
    return await reads.scalar(statement)  # type: ignore[no-any-return]


async def replace_password(tx: WriteTransaction, user_id: UUID, old_hash: str, new_hash: str) -> bool:
    """Replace a person's password, unless another has replaced it already."""
    changed = await tx.execute(
        sa.update(_users)
        .where(_users.c.tenant_id == tx.tenant_id, _users.c.id == user_id, _users.c.password_hash == old_hash)
        .values(password_hash=new_hash)
    )
    return bool(changed)


async def set_password(tx: WriteTransaction, user_id: UUID, password_hash: str) -> None:
    """Replace a person's password."""
    await tx.execute(
        sa.update(_users)
        .where(_users.c.tenant_id == tx.tenant_id, _users.c.id == user_id)
        .values(password_hash=password_hash)
    )


async def set_email_verified(tx: WriteTransaction, user_id: UUID) -> None:
    """Whoever follows a link in a mail has the address; the time of the first stays."""
    await tx.execute(
        sa.update(_users)
        .where(_users.c.tenant_id == tx.tenant_id, _users.c.id == user_id)
        .values(email_verified_at=sa.func.coalesce(_users.c.email_verified_at, sa.func.now()))
    )


async def is_member(reads: Reads, email: str) -> bool:
    """Whether somebody of the tenant has this e-mail (in lower case)."""
    return bool(
        await reads.scalar(sa.select(sa.exists().where(_users.c.tenant_id == reads.tenant_id, _users.c.email == email)))
    )
