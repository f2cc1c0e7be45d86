"""Providers of models, and an organisation's own keys for them."""

from __future__ import annotations

from datetime import datetime

import strawberry

from datastores import records
from resolvers import provider_keys
from schema.records import backed_by


@backed_by(records.ProviderKeyRecord, description="An organisation's own key for a provider. The key is never shown.")
class ProviderKey:
    provider: str
    hint: str = strawberry.field(description="Its last four characters.")
    set_at: datetime


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
