"""Providers as those who manage an organisation see them, and its own keys for them."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from core.errors import ConfigurationError, ErrorCode, ProviderError
from core.ids import NodeKind, TenantId
from core.sealing import SealBrokenError
from datastores import provider_keys
from datastores.postgres import Purpose
from datastores.records import ProviderKeyRecord
from providers.circuits import Health
from providers.hosted import CHAT_PROVIDERS, HOSTED
from providers.own_keys import OwnKey, owner_of
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.results import Conflict, InvalidInput, NotFound
from resolvers.services import Services

KEY_CHARS = (8, 500)
HINT_CHARS = 4
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Provider:
    """A chat provider, and whose keys there are for it."""

    name: str
    default_model: str
    platform_key: bool
    own_key: ProviderKeyRecord | None
    health: Health
    """With the organisation's own key if it has one, else with the platform's."""


@dataclass(slots=True)
class Rotated:
    """Of all tenants' keys: how many are sealed under the first key now, and how many nobody can open."""

    sealed: int
    lost: int


async def providers(context: Context) -> list[Provider]:
    """All that there are, those without any key among them."""
    person = await context.authorise(Operation.VIEWER_PROVIDERS)
    keys = {key.provider: key for key in await provider_keys.keys_of_tenant(context.reads)}
    sealed, known = await provider_keys.sealed_keys(context.reads), context.services.providers
    found = []
    for name in CHAT_PROVIDERS:
        own = OwnKey(TenantId(person.tenant_id), name, sealed[name]) if name in sealed else None
        health = known.circuits.health(name, own)
        found.append(Provider(name, known.default_model(name), known.has_key(name), keys.get(name), health))
    return found


async def set_key(context: Context, *, provider: str, key: str) -> ProviderKeyRecord | InvalidInput | Conflict:
    """Keep the organisation's own key, which is used from its next answer on in the place of the platform's.

    The provider is asked whether it takes it; where it does not say, the key is kept.
    """
    person = await context.authorise(Operation.SET_PROVIDER_KEY)
    if (unknown := _unknown(provider)) is not None:
        return unknown
    least, most = KEY_CHARS
    # It travels in a header.
    if not least <= len(key) <= most or " " in key or not key.isascii() or not key.isprintable():
        return InvalidInput(f"A key is one word of {least} to {most} ASCII letters, digits and signs.", "key")
    known = context.services.providers
    if known.sealer is None:
        return Conflict("This platform is not set up to keep keys of organisations: ENCRYPTION_KEYS is not set.")
    context.notes("provider", provider)
    # The provider may be a network away: no connection of the pool waits for it.
    await context.aclose()
    try:
        async with known.trying(provider, key) as chat:
            await chat.has_model(chat.default_model)
    except ConfigurationError as error:
        log.error("provider not usable", provider=provider, reason=str(error))
        return Conflict(f"{provider} is not set up rightly on this platform.")
    except ProviderError as error:
        if error.code is ErrorCode.PROVIDER_AUTH:
            return InvalidInput(f"{provider} does not take this key.", "key")
    sealed = known.sealer.seal(owner_of(TenantId(person.tenant_id), provider), key)
    async with context.write() as tx:
        kept = await provider_keys.set_key(tx, provider=provider, sealed=sealed, hint=key[-HINT_CHARS:])
        context.acts_on(NodeKind.PROVIDER_KEY, kept.id)
    return kept


async def remove_key(context: Context, provider: str) -> NotFound | InvalidInput | None:
    """Forget the organisation's own key; None when it is done. Its next answers are the platform's key's, if any."""
    await context.authorise(Operation.REMOVE_PROVIDER_KEY)
    if (unknown := _unknown(provider)) is not None:
        return unknown
    context.notes("provider", provider)
    async with context.write() as tx:
        removed = await provider_keys.remove_key(tx, provider)
        if removed is None:
            return NotFound.of("key")
        context.acts_on(NodeKind.PROVIDER_KEY, removed)
    return None


async def seal_all_anew(services: Services) -> Rotated:
    """Seal every tenant's keys under the first of ENCRYPTION_KEYS. Again does no harm. Raises `ConfigurationError`."""
    sealer = services.providers.sealer
    if sealer is None:
        raise ConfigurationError("ENCRYPTION_KEYS: not set. Give the new key, then a comma and the old ones.")
    result = Rotated(0, 0)
    async with services.postgres.platform(Purpose.ADMIN) as platform:
        tenants = await provider_keys.all_tenants(platform)
    for tenant_id in tenants:
        # At the tenant's own door: no role reads the keys of all.
        async with services.postgres.write(tenant_id) as tx:
            for provider, sealed in (await provider_keys.sealed_keys(tx)).items():
                try:
                    new = sealer.seal_anew(sealed)
                except SealBrokenError:
                    log.error("provider key cannot be opened", tenant=tenant_id.hex, provider=provider)
                    result.lost += 1
                else:
                    result.sealed += await provider_keys.replace_sealed(tx, provider, sealed, new)
    return result


def _unknown(provider: str) -> InvalidInput | None:
    if provider in HOSTED:
        return None
    return InvalidInput(f"There are keys for {', '.join(HOSTED)}, and for no other provider.", "provider")
