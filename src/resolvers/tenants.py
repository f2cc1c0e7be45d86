"""Organisations, as an administrator of the platform founds, suspends and resumes them.

This is all that an administrator does across organisations. No use case here reads what is in one.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from uuid import UUID

from core.errors import RequestError
from core.ids import NodeKind, TenantId
from datastores import tenants
from datastores.pages import Page, PageRequest
from datastores.people import add_tenant, tenant_of
from datastores.postgres import Purpose
from datastores.records import TenantRecord, UserRecord
from datastores.tenants import tenant_by_id
from resolvers import passwords
from resolvers.arguments import input_id
from resolvers.context import Context
from resolvers.identity import founder
from resolvers.permissions import ADMINISTERS, Operation
from resolvers.results import Conflict, InvalidInput, NotFound
from resolvers.texts import is_storable
from resolvers.welcome import add_welcome


@dataclass(slots=True)
class Founded:
    """A new tenant and its first person, who has yet to choose a password."""

    tenant: TenantRecord
    person: UserRecord


async def create_tenant(
    context: Context, *, organization: str, name: str, email: str
) -> Founded | InvalidInput | Conflict:
    """Found a tenant for somebody else, who gets the role BUSINESS, and a mail that says how to come in."""
    await context.authorise(Operation.CREATE_TENANT)
    if isinstance(address := founder(organization, name, email), InvalidInput):
        return address
    await context.reads.aclose()
    # Nobody knows this password; signing in with another takes as long as with any account.
    unknown = await passwords.hashed(secrets.token_urlsafe(32))
    async with context.platform(Purpose.ADMIN) as tx:
        person = await add_tenant(
            tx,
            organization=organization.strip(),
            embedding_model_id=context.services.providers.embeddings().model_id,
            name=name.strip(),
            email=address,
            password_hash=unknown,
        )
        if person is None:
            return Conflict("There is an account with this e-mail address already.")
        tenant = await tenant_by_id(tx, person.tenant_id)
        assert tenant is not None, "it has just been added"
        context.acts_on(NodeKind.TENANT, tenant.id)
        context.acts_on(NodeKind.USER, person.id)
        await add_welcome(context, tx, tenant, person)
    await context.services.queue.deliver_mail()
    return Founded(tenant, person)


async def suspend_tenant(context: Context, tenant_id: str) -> TenantRecord | NotFound | InvalidInput | Conflict:
    """Shut a tenant out, on all its sockets within two seconds. What it has stays as it is, and comes back."""
    person = await context.authorise(Operation.SUSPEND_TENANT)
    wanted = input_id(NodeKind.TENANT, tenant_id, "tenantId")
    if isinstance(wanted, InvalidInput):
        return wanted
    if wanted == person.tenant_id:
        return Conflict("This is your own organisation: who suspended it could not resume it.")
    async with context.platform(Purpose.ADMIN) as tx:
        # One's own, too: of two administrators who suspend each other's organisation the second is out before the end.
        await tenants.hold_tenants(tx, {wanted, person.tenant_id})
        changed = await tenants.suspend(tx, wanted)
    return await _told(context, changed)


async def resume_tenant(context: Context, tenant_id: str) -> TenantRecord | NotFound | InvalidInput:
    """Let a suspended tenant in again: with their sessions, as far as these have not ended meanwhile."""
    person = await context.authorise(Operation.RESUME_TENANT)
    wanted = input_id(NodeKind.TENANT, tenant_id, "tenantId")
    if isinstance(wanted, InvalidInput):
        return wanted
    async with context.platform(Purpose.ADMIN) as tx:
        await tenants.hold_tenants(tx, {wanted, person.tenant_id})
        changed = await tenants.resume(tx, wanted)
    return await _told(context, changed)


async def all_tenants(
    context: Context, name: str | None, suspended: bool | None, page: PageRequest
) -> Page[TenantRecord]:
    """Every tenant of the platform, newest first."""
    await context.authorise(Operation.VIEWER_TENANTS)
    await context.reads.aclose()
    if name is not None and not is_storable(name):
        raise RequestError.bad_input("`name` contains characters that are not text.")
    async with context.services.postgres.platform(Purpose.ADMIN) as tx:
        return await tenants.tenants(tx, name, suspended, page)


async def any_tenant(context: Context, person: UserRecord, tenant_id: UUID) -> TenantRecord | None:
    """A tenant as the person may see it: an administrator any, everybody else their own."""
    if tenant_id == person.tenant_id:
        return await tenant_of(context.reads)
    if not person.role.covers(ADMINISTERS):
        return None
    await context.reads.aclose()
    async with context.services.postgres.platform(Purpose.ADMIN) as tx:
        return await tenant_by_id(tx, tenant_id)


async def _told(context: Context, changed: TenantRecord | None) -> TenantRecord | NotFound:
    if changed is None:
        return NotFound.of("organisation")
    # Also when nothing has changed: the first word may have been lost with Redis.
    await context.services.standings.tenant_changed(TenantId(changed.id))
    return changed
