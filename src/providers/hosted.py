"""The chat providers that a vendor hosts: which of them are set up, and how each is made from settings and a key."""

from __future__ import annotations

from typing import Final, get_args

from core.errors import ConfigurationError, ErrorCode, ProviderError
from core.model_settings import LOCAL_CHAT_MODEL, ChatProviderName, ModelSettings
from providers.base import ChatProvider

CHAT_PROVIDERS: Final[tuple[str, ...]] = get_args(ChatProviderName)
"""All chat providers by name, the local one among them."""

HOSTED: Final = tuple(name for name in CHAT_PROVIDERS if name != "local")
"""Those that take a key."""


def has_platform_key(settings: ModelSettings, name: str) -> bool:
    """Whether the platform has a key for this hosted provider, or an address that may need none."""
    given = {
        "gemini": settings.gemini_api_key,
        "openai": settings.openai_api_key or settings.openai_base_url,
        "anthropic": settings.anthropic_api_key or settings.anthropic_base_url,
    }
    return bool(given.get(name))


def platform_key(settings: ModelSettings, name: str) -> str | None:
    """The platform's key; None for a server of one's own, which may need none.

    Raises `ProviderError`: PROVIDER_AUTH where there is neither, PROVIDER_UNAVAILABLE for no provider of ours.
    """
    keys = {
        "gemini": settings.gemini_api_key,
        "openai": settings.openai_api_key,
        "anthropic": settings.anthropic_api_key,
    }
    if name not in keys:
        raise _unknown()
    if not has_platform_key(settings, name):
        raise ProviderError(
            ErrorCode.PROVIDER_AUTH,
            f"The provider has no key: {name.upper()}_API_KEY is not set, and the organisation has none of its own.",
            retryable=False,
        )
    key = keys[name]
    return None if key is None else key.get_secret_value()


def default_model(settings: ModelSettings, name: str) -> str:
    """The model that the provider answers with where none is named."""
    models = {
        "local": LOCAL_CHAT_MODEL,
        "gemini": settings.gemini_chat_model,
        "openai": settings.openai_chat_model,
        "anthropic": settings.anthropic_model,
    }
    return models[name]


def make_hosted(settings: ModelSettings, name: str, key: str | None) -> ChatProvider:
    """The provider with that key. Raises `ConfigurationError`, and `ProviderError` for no provider of ours."""
    # Imported here: Google's SDK is heavy, and a process pays only for what it uses.
    if name == "gemini":
        from providers.gemini import GeminiChat

        return GeminiChat(
            api_key=key or "",
            model=settings.gemini_chat_model,
            timeout=settings.provider_timeout,
            endpoint=settings.gemini_endpoint,
            root_certificates=root_certificates(settings),
        )
    if name == "openai":
        from providers import openai

        return openai.OpenAIChat(
            api_key=key,
            model=settings.openai_chat_model,
            base_url=settings.openai_base_url or openai.VENDOR_URL,
            connect_timeout=settings.provider_timeout,
        )
    if name == "anthropic":
        from providers import anthropic

        return anthropic.AnthropicChat(
            api_key=key,
            model=settings.anthropic_model,
            base_url=settings.anthropic_base_url or anthropic.VENDOR_URL,
            max_tokens=settings.anthropic_max_tokens,
            timeout=settings.provider_timeout,
        )
    raise _unknown()


def root_certificates(settings: ModelSettings) -> bytes | None:
    """The authorities to trust at Gemini's address. Raises `ConfigurationError`."""
    path = settings.gemini_root_certificates
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"GEMINI_ROOT_CERTIFICATES: {path} cannot be read ({error.strerror}). Expected a PEM file."
        ) from None


def _unknown() -> ProviderError:
    return ProviderError(
        ErrorCode.PROVIDER_UNAVAILABLE, "This assistant's provider is not set up here.", retryable=False
    )
