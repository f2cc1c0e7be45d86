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
from datastores.people import add_user, credentials_of, ensure_tenant, tenant_of
from datastores.postgres import Purpose
from datastores.records import AuditRecord
from datastores.tenants import PLATFORM_TENANT
from datastores.transactions import PlatformTransaction, WriteTransaction
from resolvers import passwords
from resolvers.addresses import email_address
from resolvers.audit_trail import ADMINISTRATOR_ADDED, AuditTrail
from resolvers.identity import NAME_CHARS
from resolvers.results import Conflict, InvalidInput, NotFound
from resolvers.services import Services
from resolvers.texts import refused_name

ORGANIZATION = "Platform"


class _AddressTakenError(Exception):
    """Undoes the founding of the platform's organisation."""


@dataclass(frozen=True, slots=True)
class Administrator:
    """Whose role is now ADMIN, and in which organisation."""

    email: str
    organization: str


async def raise_to_administrator(services: Services, email: str) -> Administrator | NotFound | InvalidInput:
    """Give an account the role ADMIN, in the organisation where it is. It counts at once."""
    address = email_address(email)
    if address is None:
        return InvalidInput("This is not an e-mail address.", "email")
    async with services.postgres.platform(Purpose.ADMIN) as platform:
        found = await credentials_of(platform, address)
    if found is None:
        return NotFound.of("account")
    tenant_id = TenantId(found.tenant_id)
    async with services.postgres.write(tenant_id) as tx:
        await members.change_member(tx, found.user_id, role=Role.ADMIN, suspended=None)
        tenant = await tenant_of(tx)
        live = await sessions.standing_ids(tx, found.user_id)
        entry = await _note(tx, tenant_id, found.user_id)
    await services.standings.changed(tenant_id, live)
    services.audit_file.write(entry)
    return Administrator(address, tenant.name)


async def add_administrator(
    services: Services, *, email: str, name: str, password: str
) -> Administrator | InvalidInput | Conflict:
    """A new account with the role ADMIN in the platform's own organisation, which is founded with its first one."""
    if (refused := refused_name(name, NAME_CHARS)) is not None:
        return refused
    if (refused := await passwords.refuse(password, "password", (email, name, ORGANIZATION))) is not None:
        return refused
    address = email_address(email)
    if address is None:
        return InvalidInput("This is not an e-mail address.", "email")
    return await make_administrator(services, email=address, name=name.strip(), password=password)


async def make_administrator(services: Services, *, email: str, name: str, password: str) -> Administrator | Conflict:
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
            entry = await _note(tx, PLATFORM_TENANT, added)
    except _AddressTakenError:
        return Conflict("There is an account with this e-mail address already.")
    services.audit_file.write(entry)
    return Administrator(email, ORGANIZATION)


async def _note(tx: WriteTransaction | PlatformTransaction, tenant_id: TenantId, user_id: UUID) -> AuditRecord:
    """Add it to the audit log of the organisation where the account is; nobody acts but the operator."""
    trail = AuditTrail(ADMINISTRATOR_ADDED)
    trail.names(NodeKind.USER, user_id)
    entry = trail.entry(tenant_id, claims=None, person=None, address="", request_id="")
    await add_entry(tx, entry)
    return entry
