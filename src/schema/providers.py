"""Mutations: an organisation's own keys for hosted models."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from datastores.records import ProviderKeyRecord
from resolvers import provider_keys
from schema.errors import Conflict, InvalidInput, NotFound
from schema.records import Info
from schema.types.providers import ProviderKey


@strawberry.input
class SetProviderKeyInput:
    provider: str = strawberry.field(description="`gemini`, `openai` or `anthropic`.")
    key: str = strawberry.field(description="8 to 500 ASCII characters. It is shown to nobody any more.")


@strawberry.type
class SetProviderKeyPayload:
    provider_key: ProviderKey


@strawberry.input
class RemoveProviderKeyInput:
    provider: str = strawberry.field(description="`gemini`, `openai` or `anthropic`.")


@strawberry.type
class RemoveProviderKeyPayload:
    provider: str


SetProviderKeyResult = Annotated[
    SetProviderKeyPayload | InvalidInput | Conflict, strawberry.union("SetProviderKeyResult")
]
RemoveProviderKeyResult = Annotated[
    RemoveProviderKeyPayload | NotFound | InvalidInput, strawberry.union("RemoveProviderKeyResult")
]


@strawberry.type
class ProviderMutations:
    @strawberry.mutation(
        description="Keep a key of your organisation's own for a provider, in the place of one that there is: its "
        "answers are asked for with it, where the platform asks that provider, and not with the platform's. The "
        "provider is asked whether it takes the key. Needs the role BUSINESS."
    )
    async def set_provider_key(self, info: Info, input: SetProviderKeyInput) -> SetProviderKeyResult:
        result: Any = await provider_keys.set_key(info.context, provider=input.provider, key=input.key)
        kept = type(result) is ProviderKeyRecord
        return SetProviderKeyPayload(provider_key=result) if kept else result

    @strawberry.mutation(
        description="Forget your organisation's own key for a provider: the platform's is used again, if there is one. "
        "Needs the role BUSINESS."
    )
    async def remove_provider_key(self, info: Info, input: RemoveProviderKeyInput) -> RemoveProviderKeyResult:
        refused: Any = await provider_keys.remove_key(info.context, input.provider)
        return refused or RemoveProviderKeyPayload(provider=input.provider)
