"""Providers of models, and an organisation's own keys for them."""

from __future__ import annotations

from datetime import datetime

import strawberry

from datastores import records
from providers import circuits
from resolvers import provider_keys
from schema.enums import CircuitState, ErrorCode
from schema.records import backed_by


@backed_by(records.ProviderKeyRecord, description="An organisation's own key for a provider. The key is never shown.")
class ProviderKey:
    provider: str
    hint: str = strawberry.field(description="Its last four characters.")
    set_at: datetime


@backed_by(
    circuits.Health,
    name="ProviderHealth",
    description="How a provider has answered with a key within the last five minutes, as the process has seen it that "
    "answers this.",
)
class ProviderHealth:
    state: CircuitState = strawberry.field(
        description="CLOSED: it is asked. OPEN: it has failed too often in a row, and is left alone for a moment. "
        "HALF_OPEN: the next answer finds out whether it answers again."
    )
    calls: int
    failures: int
    failure_rate: float | None = strawberry.field(description="0 to 1. Null where nobody was asked.")
    last_failure_at: datetime | None
    last_failure_code: ErrorCode | None


@backed_by(provider_keys.Provider, description="Who can answer.")
class Provider:
    name: str = strawberry.field(description="For `Assistant.provider`.")
    default_model: str = strawberry.field(description="What it answers with where an assistant names no model.")
    platform_key: bool = strawberry.field(
        description="Whether the platform has a key for it, or needs none. Without it an organisation needs its own."
    )
    own_key: ProviderKey | None = strawberry.field(
        description="The organisation's own, which is used in the place of the platform's."
    )
    health: ProviderHealth = strawberry.field(description="With the key that is used for this organisation.")
