"""How the platform gets its first administrators: from its operator, on the server.

Through the API only an administrator makes another, within their own organisation (`resolvers.members`).
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from core.ids import NodeKind, TenantId
from datastores import members, sessions
from datastores.audit import add_entry
from datastores.models import Role
from datastores.people import add_user, credentials_of, ensure_tenant, tenant_of, user_by_id
from datastores.postgres import Purpose
from datastores.records import AuditRecord
from datastores.tenants import PLATFORM_TENANT, tenant_by_id
from datastores.tenants import resume as resume_tenant
from datastores.transactions import PlatformTransaction, WriteTransaction
from resolvers import passwords
from resolvers.addresses import email_address
from resolvers.audit_trail import ADMINISTRATOR_ADDED, AuditTrail
from resolvers.identity import NAME_CHARS
from resolvers.permissions import Operation
from resolvers.results import Conflict, InvalidInput, NotFound
from resolvers.services import Services
from resolvers.texts import refused_name

ORGANIZATION = "Platform"
_SAY_RESUME = "Nothing was changed. Say `--resume` to lift the suspension, too."


class _AddressTakenError(Exception):
    """Undoes the founding of the platform's organisation."""


class _SuspendedError(Exception):
    """Undoes the making of an account that could not sign in."""


@dataclass(frozen=True, slots=True)
class Administrator:
    """Whose role is now ADMIN, and in which organisation."""

    email: str
    organization: str


async def raise_to_administrator(
    services: Services, email: str, *, resume: bool = False
) -> Administrator | NotFound | InvalidInput | Conflict:
    """Give an account the role ADMIN, in the organisation where it is. It counts at once.

    Refused where a suspension would keep the person out; `resume` lifts it instead, the organisation's and their own.
    """
    address = email_address(email)
    if address is None:
        return InvalidInput("This is not an e-mail address.", "email")
    async with services.postgres.platform(Purpose.ADMIN) as platform:
        found = await credentials_of(platform, address)
    if found is None:
        return NotFound.of("account")
    tenant_id = TenantId(found.tenant_id)
    async with services.postgres.write(tenant_id) as tx:
        tenant = await tenant_of(tx)
        person = await user_by_id(tx, tenant_id, found.user_id)
        if person is None:
            return NotFound.of("account")
        if not resume and tenant.suspended_at is not None:
            return _organization_suspended(tenant.name)
        if not resume and person.suspended_at is not None:
            return Conflict(f"{address} is suspended, and could not sign in. {_SAY_RESUME}")
        await members.change_member(tx, found.user_id, role=Role.ADMIN, suspended=False if resume else None)
        live = await sessions.standing_ids(tx, found.user_id)
        entry = await _note(tx, tenant_id, ADMINISTRATOR_ADDED, NodeKind.USER, found.user_id)
    await services.standings.changed(tenant_id, live)
    services.audit_file.write(entry)
    if tenant.suspended_at is not None:
        async with services.postgres.platform(Purpose.ADMIN) as platform:
            entry = await _resumed(platform, tenant_id)
        await services.standings.tenant_changed(tenant_id)
        services.audit_file.write(entry)
    return Administrator(address, tenant.name)


async def add_administrator(
    services: Services, *, email: str, name: str, password: str, resume: bool = False
) -> Administrator | InvalidInput | Conflict:
    """A new account with the role ADMIN in the platform's own organisation, which is founded with its first one.

    Refused while that one is suspended; `resume` lifts the suspension instead.
    """
    if (refused := refused_name(name, NAME_CHARS)) is not None:
        return refused
    if (refused := await passwords.refuse(password, "password", (email, name, ORGANIZATION))) is not None:
        return refused
    address = email_address(email)
    if address is None:
        return InvalidInput("This is not an e-mail address.", "email")
    return await make_administrator(services, email=address, name=name.strip(), password=password, resume=resume)


async def make_administrator(
    services: Services, *, email: str, name: str, password: str, resume: bool = False
) -> Administrator | Conflict:
    """The account itself, whatever its password is: the demo's is known to everybody."""
    hashed = await passwords.hashed(password)
    model_id = services.providers.embeddings().model_id
    try:
        async with services.postgres.platform(Purpose.ADMIN) as tx:
            await ensure_tenant(tx, PLATFORM_TENANT, name=ORGANIZATION, embedding_model_id=model_id)
            added = await add_user(
                tx,
                PLATFORM_TENANT,
                name=name,
                email=email,
                password_hash=hashed,
                role=Role.ADMIN,
                # Whoever runs this command has the database.
                email_verified=True,
            )
            if added is None:
                raise _AddressTakenError
            entries = [await _note(tx, PLATFORM_TENANT, ADMINISTRATOR_ADDED, NodeKind.USER, added)]
            tenant = await tenant_by_id(tx, PLATFORM_TENANT)
            assert tenant is not None, "it was there, or has just been founded"
            if tenant.suspended_at is not None:
                if not resume:
                    raise _SuspendedError
                entries.append(await _resumed(tx, PLATFORM_TENANT))
    except _AddressTakenError:
        return Conflict("There is an account with this e-mail address already.")
    except _SuspendedError:
        return _organization_suspended(ORGANIZATION)
    if tenant.suspended_at is not None:
        await services.standings.tenant_changed(PLATFORM_TENANT)
    for entry in entries:
        services.audit_file.write(entry)
    return Administrator(email, ORGANIZATION)


def _organization_suspended(name: str) -> Conflict:
    return Conflict(f"The organisation {name} is suspended, and nobody of it can sign in. {_SAY_RESUME}")


async def _resumed(tx: PlatformTransaction, tenant_id: TenantId) -> AuditRecord:
    """Let the tenant in again; the entry, which is the platform's as that of an administrator would be."""
    await resume_tenant(tx, tenant_id)
    return await _note(tx, PLATFORM_TENANT, Operation.RESUME_TENANT.value.name, NodeKind.TENANT, tenant_id)


async def _note(
    tx: WriteTransaction | PlatformTransaction, tenant_id: TenantId, action: str, kind: NodeKind, value: UUID
) -> AuditRecord:
    """Add it to the audit log of that organisation; nobody acts but the operator."""
    trail = AuditTrail(action)
    trail.names(kind, value)
    entry = trail.entry(tenant_id, claims=None, person=None, address="", request_id="")
    await add_entry(tx, entry)
    return entry
