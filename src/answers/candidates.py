"""Who may be asked for an answer, in which order, and with whose key."""

from __future__ import annotations

from dataclasses import dataclass

from core.ids import TenantId
from core.settings import Settings
from datastores.answer_turns import ClaimedAnswer
from providers.own_keys import OwnKey


@dataclass(slots=True)
class Candidate:
    """A model that may be asked. `ask` fills in the provider's default where it has no name."""

    provider: str
    model: str | None
    own: OwnKey | None = None
    """The tenant's own key, which is used in the place of the platform's."""


def candidates(settings: Settings, tenant_id: TenantId, claimed: ClaimedAnswer) -> list[Candidate]:
    """The assistant's model, then its fallbacks with their default models, or the deployment's where it has none."""
    first = claimed.provider or settings.resolved_chat_provider
    others = settings.fallback_chat_provider if claimed.fallback_providers is None else claimed.fallback_providers
    found = [Candidate(first, claimed.model)]
    found += [Candidate(provider, None) for provider in dict.fromkeys(others) if provider != first]
    for candidate in found:
        sealed = (claimed.sealed_keys or {}).get(candidate.provider)
        candidate.own = None if sealed is None else OwnKey(tenant_id, candidate.provider, sealed)
    return found
