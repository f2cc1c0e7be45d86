"""Tenants, users and assistants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from core.ids import TenantId, new_id
from datastores.models import Assistant, Role, Tenant, User
from datastores.pages import Page, PageRequest, keyset_page
from datastores.prompts import give_library
from datastores.records import AssistantRecord, TenantRecord, UserRecord, select_record, table
from datastores.transactions import PlatformTransaction, Reads, WriteTransaction

_users, _assistants, _tenants = table(User), table(Assistant), table(Tenant)


@dataclass(slots=True)
class Credentials:
    """What sign-in needs of an account."""

    user_id: UUID
    tenant_id: UUID
    password_hash: str


class _AddressTakenError(Exception):
    """Undoes the founding of a tenant."""


async def credentials_of(tx: PlatformTransaction, email: str) -> Credentials | None:
    """The account with this e-mail (in lower case), in whatever tenant."""
    statement = sa.select(_users.c.id, _users.c.tenant_id, _users.c.password_hash).where(_users.c.email == email)
    return await tx.first(Credentials, statement)


async def holder_of_password(tx: WriteTransaction, user_id: UUID, password_hash: str) -> UserRecord | None:
    """The person, if that is still their password's hash; nobody changes or removes them until the transaction ends.

    Whoever does so meanwhile is waited for. Whoever does so afterwards finds what this transaction has added.
    """
    statement = (
        select_record(UserRecord)
        .where(_users.c.tenant_id == tx.tenant_id, _users.c.id == user_id, _users.c.password_hash == password_hash)
        .with_for_update(read=True)
    )
    return await tx.first(UserRecord, statement)


async def account_of(tx: PlatformTransaction, email: str) -> UserRecord | None:
    """The person with this e-mail (in lower case) in whatever tenant; None also where one of the two is suspended."""
    statement = (
        select_record(UserRecord)
        .join(_tenants, _tenants.c.id == _users.c.tenant_id)
        .where(_users.c.email == email, _users.c.suspended_at.is_(None), _tenants.c.suspended_at.is_(None))
    )
    return await tx.first(UserRecord, statement)


async def is_taken(tx: PlatformTransaction, email: str) -> bool:
    """Whether anybody, in whatever tenant, has this e-mail (in lower case)."""
    return bool(await tx.scalar(sa.select(sa.exists().where(_users.c.email == email))))


async def add_tenant(
    tx: PlatformTransaction,
    *,
    organization: str,
    embedding_model_id: str,
    name: str,
    email: str,
    password_hash: str,
    email_verified: bool = False,
) -> UserRecord | None:
    """A tenant with its first assistant and its BUSINESS user; None when the e-mail is taken (nothing is added)."""
    tenant_id, account = TenantId(new_id()), {"name": name, "email": email, "password_hash": password_hash}
    try:
        async with tx.savepoint():
            await _insert_tenant(tx, tenant_id, name=organization, embedding_model_id=embedding_model_id)
            user_id = await add_user(tx, tenant_id, role=Role.BUSINESS, email_verified=email_verified, **account)
            if user_id is None:
                raise _AddressTakenError
    except _AddressTakenError:
        return None
    await _equip(tx, tenant_id)
    return await user_by_id(tx, tenant_id, user_id)


async def ensure_tenant(tx: PlatformTransaction, tenant_id: TenantId, *, name: str, embedding_model_id: str) -> None:
    """A tenant of that id with its first assistant, unless there is one."""
    if await _insert_tenant(tx, tenant_id, name=name, embedding_model_id=embedding_model_id):
        await _equip(tx, tenant_id)


async def _insert_tenant(tx: PlatformTransaction, tenant_id: TenantId, *, name: str, embedding_model_id: str) -> bool:
    values = {"id": tenant_id, "name": name, "embedding_model_id": embedding_model_id, "keep_originals": True}
    statement = postgresql.insert(_tenants).values(values).on_conflict_do_nothing(index_elements=["id"])
    return await tx.execute(statement) == 1


async def _equip(tx: PlatformTransaction, tenant_id: TenantId) -> None:
    """What every tenant begins with: an assistant, and the library of prompts."""
    await give_library(tx, tenant_id)
    tx.session.add(Assistant(tenant_id=tenant_id, name="Assistant"))
    await tx.session.flush()


async def add_user(
    tx: PlatformTransaction | WriteTransaction,
    tenant_id: TenantId,
    *,
    name: str,
    email: str,
    password_hash: str,
    role: Role,
    email_verified: bool = False,
) -> UUID | None:
    """The new user's id; None when the e-mail is taken."""
    user = User(tenant_id=tenant_id, name=name, email=email, password_hash=password_hash, role=role)
    # The insert itself decides: two sign-ups at once cannot both find the address free.
    statement = sa.text(
        "INSERT INTO users (tenant_id, id, email, name, role, password_hash, email_verified_at) "
        "VALUES (:tenant_id, :id, :email, :name, :role, :password_hash, CASE WHEN :verified THEN now() END) "
        "ON CONFLICT (email) DO NOTHING"
    )
    values = {
        "tenant_id": tenant_id,
        "id": user.id,
        "email": email,
        "name": name,
        "role": role.name,
        "password_hash": password_hash,
        "verified": email_verified,
    }
    return user.id if await tx.execute(statement, values) else None


async def user_by_id(tx: Reads | PlatformTransaction, tenant_id: TenantId, user_id: UUID) -> UserRecord | None:
    """The user, if it is this tenant's."""
    statement = select_record(UserRecord).where(_users.c.tenant_id == tenant_id, _users.c.id == user_id)
    return await tx.first(UserRecord, statement)


async def tenant_of(reads: Reads) -> TenantRecord:
    """The transaction's own tenant."""
    record = await reads.first(TenantRecord, select_record(TenantRecord).where(_tenants.c.id == reads.tenant_id))
    assert record is not None, "a person's tenant exists as long as the person"
    return record


async def assistants(reads: Reads, request: PageRequest) -> Page[AssistantRecord]:
    """The tenant's assistants, oldest first."""
    statement = select_record(AssistantRecord).where(_assistants.c.tenant_id == reads.tenant_id)
    keys = [_assistants.c.created_at, _assistants.c.id]
    return await keyset_page(reads, AssistantRecord, statement, keys, request, descending=False)


async def assistant_or_default(reads: Reads, assistant_id: UUID | None) -> AssistantRecord | None:
    """The assistant of that id, or the tenant's oldest one; None when there is no such assistant.

    In a write transaction it stays until that ends: what is added there refers to it.
    """
    statement = select_record(AssistantRecord).where(_assistants.c.tenant_id == reads.tenant_id)
    if assistant_id is not None:
        statement = statement.where(_assistants.c.id == assistant_id)
    statement = statement.order_by(_assistants.c.created_at, _assistants.c.id).limit(1)
    if isinstance(reads, WriteTransaction):
        statement = statement.with_for_update(read=True, key_share=True)
    return await reads.first(AssistantRecord, statement)


async def users_by_id(reads: Reads, ids: Sequence[UUID]) -> list[UserRecord]:
    """Those of the users that are in the tenant, in no order."""
    statement = select_record(UserRecord).where(_users.c.tenant_id == reads.tenant_id, _users.c.id.in_(ids))
    return await reads.records(UserRecord, statement)


async def assistants_by_id(reads: Reads, ids: Sequence[UUID]) -> list[AssistantRecord]:
    """Those of the assistants that are in the tenant, in no order."""
    statement = select_record(AssistantRecord).where(
        _assistants.c.tenant_id == reads.tenant_id, _assistants.c.id.in_(ids)
    )
    return await reads.records(AssistantRecord, statement)
