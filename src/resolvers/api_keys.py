"""API keys: how a program signs in, for the person who made the key."""

from __future__ import annotations

from dataclasses import dataclass

from core.ids import NodeKind, TenantId, new_id
from core.opaque_tokens import TokenKind
from datastores import api_keys
from datastores.models import Role
from datastores.pages import Page, PageRequest
from datastores.records import ApiKeyRecord
from resolvers.arguments import input_id
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.results import Conflict, InvalidInput, NotFound
from resolvers.texts import refused_name

NAME_CHARS = 100
HINT_CHARS = 4


@dataclass(slots=True)
class NewKey:
    """A key, and the one time that its secret is told."""

    secret: str
    key: ApiKeyRecord


async def create_key(context: Context, *, name: str, role: Role) -> NewKey | InvalidInput | Conflict:
    """A key for a role that is not stronger than one's own, unless one has as many as one may."""
    person = await context.authorise(Operation.CREATE_API_KEY)
    if (refused := refused_name(name, NAME_CHARS)) is not None:
        return refused
    key_id, tenant_id = new_id(), TenantId(person.tenant_id)
    secret, key_hash = context.services.tokens.mint(TokenKind.API_KEY, tenant_id, key_id)
    context.acts_on(NodeKind.API_KEY, key_id)
    most = context.services.settings.api_keys_per_person
    async with context.write() as tx:
        live = await api_keys.live_keys(tx, person.id)
        person = await context.authorise_in(tx)
        if not person.role.covers(role):
            return InvalidInput(f"A key may not do more than its maker: your role is {person.role.value}.", "role")
        if live >= most:
            return Conflict(f"You have {most} API keys, the most allowed. Revoke one first.")
        key = await api_keys.add_key(
            tx, key_id, person.id, name=name.strip(), role=role, key_hash=key_hash, hint=secret[-HINT_CHARS:]
        )
    return NewKey(secret, key)


async def all_keys(context: Context, page: PageRequest) -> Page[ApiKeyRecord]:
    """The tenant's keys that are not revoked, newest first."""
    await context.authorise(Operation.VIEWER_API_KEYS)
    return await api_keys.keys_of_tenant(context.reads, page)


async def revoke_key(context: Context, key_id: str) -> ApiKeyRecord | NotFound | InvalidInput:
    """End a key of the tenant's. It counts within two seconds, also on open sockets."""
    person = await context.authorise(Operation.REVOKE_API_KEY)
    wanted = input_id(NodeKind.API_KEY, key_id, "apiKeyId")
    if isinstance(wanted, InvalidInput):
        return wanted
    async with context.write() as tx:
        await api_keys.hold_key(tx, wanted)
        # Without holding the person: a reset holds them and then their keys.
        await context.authorise_in(tx, hold=False)
        revoked = await api_keys.revoke_key(tx, wanted)
    if revoked is None:
        return NotFound.of("API key")
    await context.services.standings.changed(TenantId(person.tenant_id), [wanted])
    return revoked
