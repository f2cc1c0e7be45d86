"""The providers of this process, made when they are first needed and shared by all answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Protocol, runtime_checkable

import structlog
from pydantic import SecretStr

from core.errors import ConfigurationError, ErrorCode, ProviderError
from core.sealing import sealer_of
from core.settings import Settings
from providers.base import ChatProvider, EmbeddingProvider, RerankProvider
from providers.circuits import Circuits
from providers.hosted import default_model, has_platform_key, make_hosted, platform_key, root_certificates
from providers.own_keys import OwnKey, OwnKeys
from providers.price_table import SHIPPED
from providers.prices import Prices, read_prices
from providers.rerankers import Rerankers

LOCAL_MODEL = "all-MiniLM-L6-v2"
log = structlog.get_logger(__name__)


@runtime_checkable
class _Checked(Protocol):
    """A hosted model, whose existence can be asked for."""

    async def check_model(self) -> None:
        """Raises `ConfigurationError`."""
        ...


class Providers:
    """Chat providers by name (`local`, `gemini`, `openai`, `anthropic`), embedding providers by the vectors' model id.

    A model id is `model@dimensions`, or `LOCAL_MODEL`: it names the vector space, and so what is stored stays in use
    whatever is set for new tenants.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises `ConfigurationError` for a file of prices that is none, for keys that seal nothing, and for a reranker
        without a model."""
        self._settings = settings
        self._prices = Prices(SHIPPED, () if settings.model_prices is None else read_prices(settings.model_prices))
        self._rerankers = Rerankers(settings, LOCAL_MODEL, self.embeddings)
        self.sealer = sealer_of(_secret(settings.encryption_keys))
        """Seals tenants' own keys; None where the platform keeps none."""
        self._own = OwnKeys(self.sealer, partial(make_hosted, settings))
        self.circuits = Circuits(settings)
        """Of those that are asked for answers."""
        self._chat: dict[str, ChatProvider] = {}
        self._embeddings: dict[str, EmbeddingProvider] = {}

    def has_key(self, name: str) -> bool:
        """Whether the platform has a key for the provider, or an address or a model of its own that needs none."""
        return name == "local" or has_platform_key(self._settings, name)

    def default_model(self, name: str) -> str:
        """The model that the provider answers with where none is named."""
        return default_model(self._settings, name)

    @asynccontextmanager
    async def using(self, name: str | None, own: OwnKey | None = None) -> AsyncGenerator[ChatProvider, None]:
        """The named chat provider, with the tenant's own key if there is one, for as long as the block lasts.

        Raises `ProviderError` and nothing else; what is raised inside says whose key it was.
        """
        name = name or self._settings.resolved_chat_provider
        try:
            if own is None:
                yield self.chat(name)
            else:
                async with self._own.using(own) as chat:
                    yield chat
        except ConfigurationError as error:
            # Looked at when somebody asks it first: a start checks only those that everybody is to be answered by.
            log.error("provider not usable", provider=name, reason=str(error))
            raise ProviderError(
                ErrorCode.PROVIDER_UNAVAILABLE, "This assistant's provider is not set up rightly here.", retryable=False
            ) from None

    @asynccontextmanager
    async def trying(self, name: str, key: str) -> AsyncGenerator[ChatProvider, None]:
        """A hosted provider with a key that is not kept. Raises `ConfigurationError`."""
        chat = make_hosted(self._settings, name, key)
        try:
            yield chat
        finally:
            await chat.aclose()

    def chat(self, name: str | None = None) -> ChatProvider:
        """The named chat provider, by default the deployment's.

        Raises `ProviderError` when it is not set up, and `ConfigurationError` where that is wrong.
        """
        name = name or self._settings.resolved_chat_provider
        if name not in self._chat:
            self._chat[name] = self._make_chat(name)
        return self._chat[name]

    def embeddings(self, model_id: str | None = None) -> EmbeddingProvider:
        """The provider of that vector space, by default the one for new tenants. Raises `ProviderError`."""
        if model_id is None:
            model_id = self._default_model_id()
        if model_id not in self._embeddings:
            self._embeddings[model_id] = self._make_embeddings(model_id)
        return self._embeddings[model_id]

    def reranker(self, model_id: str) -> RerankProvider | None:
        """Who judges the passages anew that were found in that space; None where nobody does."""
        return self._rerankers.of(model_id)

    def spaces(self) -> list[str]:
        """Where documents can be embedded here, the space of new tenants first. Raises `ConfigurationError`."""
        return list(dict.fromkeys((self._default_model_id(), LOCAL_MODEL, *self._hosted_spaces().values())))

    def cost(self, provider: str, model: str, tokens: tuple[int | None, int | None], *, cached: bool) -> Decimal | None:
        """US dollars of an answer that took so many tokens, read and written; None where that is not known.

        Nothing for one that was `cached`, because nobody was asked.
        """
        if cached:
            return Decimal(0)
        addresses = {"openai": self._settings.openai_base_url, "anthropic": self._settings.anthropic_base_url}
        today = datetime.now(UTC).date()
        return self._prices.cost(provider, model, tokens, base_url=addresses.get(provider), on=today)

    async def check(self) -> None:
        """At start-up: refuse a hosted model that does not exist. Raises `ConfigurationError`."""
        first, others = self._settings.resolved_chat_provider, self._settings.fallback_chat_provider
        for number, other in enumerate(others):
            if other in (first, *others[:number]):
                raise ConfigurationError(
                    f"FALLBACK_CHAT_PROVIDER: `{other}` is asked before already. Name another one, or leave it out."
                )
        await self._check_chat("CHAT_PROVIDER", first)
        for other in others:
            await self._check_chat("FALLBACK_CHAT_PROVIDER", other)
        await self._check_embeddings()

    async def _check_chat(self, setting: str, name: str) -> None:
        if name == "local":
            return
        if not has_platform_key(self._settings, name):
            key = f"{name.upper()}_API_KEY"
            own = "" if name == "gemini" else f", or {name.upper()}_BASE_URL for a server of your own"
            raise ConfigurationError(
                f"{key}: not set, and {setting} is `{name}`. Set the key{own}, or unset {setting}."
            )
        hosted = self.chat(name)
        assert isinstance(hosted, _Checked)
        await hosted.check_model()

    async def _check_embeddings(self) -> None:
        name = self._settings.embedding_provider
        if self._openai_embeds:
            # Also where it is not for new tenants: which space it has decides who embeds in the others.
            self._openai_space()
        if name == "local":
            return
        if name == "gemini" and self._settings.gemini_api_key is None:
            raise ConfigurationError(
                "GEMINI_API_KEY: not set, and EMBEDDING_PROVIDER is `gemini`. Set the key, or unset EMBEDDING_PROVIDER."
            )
        if name == "openai" and not self._openai_embeds:
            raise ConfigurationError(
                "OPENAI_EMBEDDING_API_KEY: not set, nor is OPENAI_API_KEY, and EMBEDDING_PROVIDER is `openai`. Set one "
                "of them, or OPENAI_EMBEDDING_BASE_URL for a server of your own, or unset EMBEDDING_PROVIDER."
            )
        hosted = self.embeddings()
        assert isinstance(hosted, _Checked)
        await hosted.check_model()

    async def aclose(self) -> None:
        """Close every provider that was made. Safe to call twice."""
        await self._own.aclose()
        for chat in self._chat.values():
            await chat.aclose()
        for embeddings in self._embeddings.values():
            await embeddings.aclose()
        await self._rerankers.aclose()
        self._chat.clear()
        self._embeddings.clear()

    def _default_model_id(self) -> str:
        if self._settings.embedding_provider == "gemini":
            return self._gemini_space()
        return self._openai_space() if self._settings.embedding_provider == "openai" else LOCAL_MODEL

    def _gemini_space(self) -> str:
        return f"{self._settings.gemini_embedding_model}@768"

    def _openai_space(self) -> str:
        """Raises `ConfigurationError`."""
        from providers.openai import space_of

        return space_of(self._settings.openai_embedding_model, self._settings.openai_embedding_dimensions)[0]

    def _make_chat(self, name: str) -> ChatProvider:
        if name != "local":
            return make_hosted(self._settings, name, platform_key(self._settings, name))
        # Imported here: the local model is heavy, and a process pays only for what it uses.
        from providers.extractive import ExtractiveChat
        from providers.minilm import MiniLmEmbeddings

        embeddings = self.embeddings(LOCAL_MODEL)
        assert isinstance(embeddings, MiniLmEmbeddings)
        return ExtractiveChat(embeddings, token_interval_ms=self._settings.local_token_interval_ms)

    def _make_embeddings(self, model_id: str) -> EmbeddingProvider:
        if model_id == LOCAL_MODEL:
            from providers.minilm import MiniLmEmbeddings

            return MiniLmEmbeddings(self._settings.data_dir / "models")
        model, _, size = model_id.rpartition("@")
        vendor = self._vendor_of(model_id) if model and size.isdecimal() else None
        if vendor == "gemini":
            return self._make_gemini_embeddings(model, int(size))
        if vendor == "openai":
            return self._make_openai_embeddings(model, int(size))
        raise ProviderError(
            ErrorCode.PROVIDER_UNAVAILABLE,
            "The model that these documents were embedded with is not set up here.",
            retryable=False,
        )

    def _vendor_of(self, model_id: str) -> str | None:
        """Who embeds in this space: whoever is set to, else whoever was and is still set up; None: nobody can."""
        settings, spaces = self._settings, self._hosted_spaces()
        vendors = [vendor for vendor, space in spaces.items() if space == model_id]
        if vendors:
            return settings.embedding_provider if settings.embedding_provider in vendors else vendors[0]
        # A model that was set once. Google's are nowhere else, and a question is taken to no vendor but the documents'.
        vendor = "gemini" if model_id.startswith("gemini-") else "openai"
        return vendor if vendor in spaces else None

    def _hosted_spaces(self) -> dict[str, str]:
        """The space of each vendor that is set up to embed. Raises `ConfigurationError`."""
        spaces = {}
        if self._settings.gemini_api_key is not None:
            spaces["gemini"] = self._gemini_space()
        if self._openai_embeds:
            spaces["openai"] = self._openai_space()
        return spaces

    @property
    def _openai_embeds(self) -> bool:
        """Whether an OpenAI-compatible server for embeddings is set up."""
        of_their_own = self._settings.openai_embedding_api_key or self._settings.openai_embedding_base_url
        return bool(of_their_own or self._settings.openai_api_key or self._settings.openai_base_url)

    def _make_openai_embeddings(self, model: str, dimensions: int) -> EmbeddingProvider:
        from providers.openai import VENDOR_URL, OpenAIEmbeddings

        settings = self._settings
        key, base_url = settings.openai_embedding_api_key, settings.openai_embedding_base_url
        if key is None and base_url in (None, settings.openai_base_url):
            # The key for answers goes to no other address than theirs.
            key = settings.openai_api_key
        return OpenAIEmbeddings(
            api_key=None if key is None else key.get_secret_value(),
            model=model,
            dimensions=dimensions,
            base_url=base_url or settings.openai_base_url or VENDOR_URL,
            batch_size=settings.openai_embedding_batch,
            max_distance=settings.openai_embedding_max_distance if model == settings.openai_embedding_model else None,
            timeout=settings.provider_timeout,
        )

    def _make_gemini_embeddings(self, model: str, dimensions: int) -> EmbeddingProvider:
        from providers.gemini import GeminiEmbeddings

        return GeminiEmbeddings(
            api_key=platform_key(self._settings, "gemini") or "",
            model=model,
            dimensions=dimensions,
            timeout=self._settings.provider_timeout,
            endpoint=self._settings.gemini_endpoint,
            root_certificates=root_certificates(self._settings),
        )


def _secret(setting: SecretStr | None) -> str | None:
    return None if setting is None else setting.get_secret_value()
