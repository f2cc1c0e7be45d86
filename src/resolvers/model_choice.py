"""What an assistant is answered by: whether such a choice can be made here and now."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import ErrorCode, ProviderError
from datastores import provider_keys
from providers.hosted import CHAT_PROVIDERS
from providers.own_keys import OwnKey
from resolvers.context import Context
from resolvers.results import InvalidInput
from resolvers.texts import is_blank, is_printable

MODEL_CHARS = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """None: the deployment's provider, the provider's default model."""

    provider: str | None
    model: str | None
    temperature: float


async def refused_choice(context: Context, choice: Choice, before: Choice | None = None) -> InvalidInput | None:
    """Why it cannot be chosen. What was so `before` is not looked at again.

    The provider is asked whether it has the model; where it does not say, the model is believed.
    """
    providers, provider, model = context.services.providers, choice.provider, choice.model
    if provider is not None and provider not in CHAT_PROVIDERS:
        return InvalidInput(f"There is no such provider; there are {', '.join(CHAT_PROVIDERS)}.", "provider")
    if model is not None and provider is None:
        return InvalidInput("A model is chosen together with its provider.", "model")
    if model is not None and (len(model) > MODEL_CHARS or is_blank(model) or not is_printable(model)):
        return InvalidInput(f"A model's name has 1 to {MODEL_CHARS} printable characters.", "model")
    own = await own_key(context, provider or context.services.settings.resolved_chat_provider)
    # The provider may be a network away: no connection of the pool waits for it.
    await context.aclose()
    try:
        async with providers.using(provider, own) as chat:
            highest = chat.highest_temperature
            if not 0 <= choice.temperature <= highest:
                return InvalidInput(f"The temperature is between 0 and {highest:g} with {chat.name}.", "temperature")
            if before is not None and (before.provider, before.model) == (provider, model):
                return None
            if model is not None and await chat.has_model(model) is False:
                return InvalidInput(f"{chat.name} has no model of this name.", "model")
    except ProviderError as error:
        if before is not None and before.provider == provider and provider is None:
            return None  # the deployment's own, which nobody here can put right
        if error.code is ErrorCode.PROVIDER_AUTH:
            return InvalidInput(f"There is no key for {provider} here that it takes.", "provider")
        return InvalidInput(error.message, "provider")
    return None


async def refused_fallbacks(context: Context, fallbacks: list[str] | None) -> InvalidInput | None:
    """Why these cannot be asked in the place of another one: each is a provider, named once, with a key for it."""
    field, known = "fallbackProviders", context.services.providers
    if not fallbacks:
        return None
    if any(name not in CHAT_PROVIDERS for name in fallbacks) or len(set(fallbacks)) < len(fallbacks):
        return InvalidInput(f"Each is one of {', '.join(CHAT_PROVIDERS)}, and named once.", field)
    own = await provider_keys.sealed_keys(context.reads)
    without = [name for name in fallbacks if name not in own and not known.has_key(name)]
    return InvalidInput(f"There is no key for {without[0]} here.", field) if without else None


async def own_key(context: Context, provider: str) -> OwnKey | None:
    """The organisation's own key for the provider."""
    sealed = (await provider_keys.sealed_keys(context.reads)).get(provider)
    return None if sealed is None else OwnKey(context.reads.tenant_id, provider, sealed)
