"""Providers with keys that tenants bring themselves: each tenant's is opened for its own calls, and for no others."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from core.errors import ErrorCode, ProviderError
from core.ids import TenantId
from core.sealing import SealBrokenError, Sealer
from providers.base import ChatProvider
from providers.failures import of_own_key

MOST_OPEN = 100
"""Connections with keys of tenants' own that a process keeps; more only while they are all in use."""
IDLE_SECONDS = 600.0
"""After which one that nobody uses is closed, and its key forgotten."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A tenant's own key for a provider, sealed for the two of them."""

    tenant_id: TenantId
    provider: str
    sealed: str = field(repr=False)


def owner_of(tenant_id: TenantId, provider: str) -> str:
    """For whom a key is sealed: moved to another row, it opens for nobody."""
    return f"provider-key:{tenant_id.hex}:{provider}"


@dataclass(slots=True)
class _Open:
    chat: ChatProvider
    uses: int = 0
    used_at: float = 0.0


class OwnKeys:
    """One per process. `make` makes a provider of its name and a key."""

    def __init__(self, sealer: Sealer | None, make: Callable[[str, str], ChatProvider]) -> None:
        self._sealer, self._make = sealer, make
        self._open: OrderedDict[OwnKey, _Open] = OrderedDict()

    @asynccontextmanager
    async def using(self, own: OwnKey) -> AsyncGenerator[ChatProvider, None]:
        """The provider with that key; it is not closed before the block ends.

        What is raised inside says that it was this key. Raises `ProviderError` PROVIDER_AUTH for a key that cannot be
        opened, and `ConfigurationError` where what the platform has set for the provider is wrong.
        """
        held = self._open.get(own)
        if held is None:
            # Nothing is awaited here, so that two first users get the same one.
            held = self._open[own] = _Open(self._make(own.provider, self._opened(own)))
        self._open.move_to_end(own)
        held.uses += 1
        try:
            yield held.chat
        except ProviderError as error:
            raise of_own_key(error) from None
        finally:
            held.uses -= 1
            held.used_at = time.monotonic()
            await self._close_unused()

    async def aclose(self) -> None:
        """Close all of them. Safe to call twice."""
        while self._open:
            _, held = self._open.popitem()
            await held.chat.aclose()

    def _opened(self, own: OwnKey) -> str:
        try:
            if self._sealer is None:
                raise SealBrokenError
            return self._sealer.open(owner_of(own.tenant_id, own.provider), own.sealed)
        except SealBrokenError:
            log.error("provider key cannot be opened", tenant=own.tenant_id.hex, provider=own.provider)
            raise ProviderError(
                ErrorCode.PROVIDER_AUTH,
                f"Your organisation's own key for {own.provider} cannot be read any more. Set it again.",
                retryable=False,
            ) from None

    async def _close_unused(self) -> None:
        long_ago = time.monotonic() - IDLE_SECONDS
        unused = [own for own, held in self._open.items() if not held.uses]
        for own in unused:
            if len(self._open) <= MOST_OPEN and self._open[own].used_at >= long_ago:
                break
            await self._open.pop(own).chat.aclose()
