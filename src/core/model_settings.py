"""Settings of the models that are asked: whose, where, and how patiently."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

ChatProviderName = Literal["local", "gemini", "openai", "anthropic"]
LOCAL_CHAT_MODEL = "extractive-1"
"""Of the provider `local`, which has no other."""


class ModelSettings(BaseSettings):
    """The part of `Settings` that is about providers."""

    chat_provider: ChatProviderName | None = None
    """By default the first of `gemini`, `openai` and `anthropic` that has a key or a base URL, else `local`."""
    fallback_chat_provider: Annotated[tuple[ChatProviderName, ...], NoDecode] = ()
    """Asked, one after the other, where the tries of the one before are used up before it has written anything."""
    embedding_provider: Literal["local", "gemini", "openai"] = "local"
    """For new tenants; a tenant keeps the vector space that its documents are in."""
    embedding_calls: int = Field(4, ge=1, le=32)
    """To a hosted model at once for one document that is uploaded."""
    gemini_api_key: SecretStr | None = None
    gemini_chat_model: str = "gemini-2.5-flash"
    gemini_embedding_model: str = "gemini-embedding-001"
    gemini_endpoint: str | None = None
    """host:port instead of the vendor's, for a gateway or a test server."""
    gemini_root_certificates: Path | None = None
    """PEM file with the authorities to trust there instead of the public ones, for a gateway with its own."""
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    """Of a compatible server, such as `http://127.0.0.1:11434/v1`; by default the vendor's."""
    openai_chat_model: str = "gpt-4.1-mini"
    openai_embedding_base_url: str | None = None
    """Of a server for embeddings alone; it gets no key but its own."""
    openai_embedding_api_key: SecretStr | None = None
    openai_embedding_model: str = "text-embedding-3-small"
    openai_embedding_dimensions: int | None = Field(None, ge=1, le=4_000)
    """Numbers of a vector, by default the model's own; pgvector indexes no more of halfvec."""
    openai_embedding_batch: int = Field(100, ge=1, le=2_048)
    """Texts to a request: Gemini's limit, which is the least of the large vendors'; OpenAI's is the most."""
    openai_embedding_max_distance: float | None = Field(None, gt=0, le=2)
    """Cosine distance above which a passage is not relevant, by default what is known of the model."""
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str | None = None
    """Of a gateway, such as `http://127.0.0.1:4000`; by default the vendor's."""
    anthropic_model: str = "claude-sonnet-4-6"
    anthropic_max_tokens: int = Field(8_192, ge=1)
    """Of an answer: the API wants to be told, and an answer that is longer is cut."""
    rerank_base_url: str | None = None
    """Of a server that has `POST rerank`, such as `http://127.0.0.1:8080/v1`."""
    rerank_api_key: SecretStr | None = None
    rerank_model: str | None = None
    """As that server calls it; required with RERANK_BASE_URL."""
    local_rerank: bool = True
    """Without such a server, and where the local model embeds: it judges the passages anew, sentence by sentence."""
    encryption_keys: SecretStr | None = None
    """Seal the keys that tenants bring: 32 bytes each in URL-safe base64, newest first, separated by commas."""
    model_prices: Path | None = None
    """TOML file with prices that add to those that are shipped, or replace them."""
    provider_timeout: float = Field(30.0, gt=0)
    """Seconds to the first token, and between tokens."""
    provider_tries: int = Field(3, ge=1, le=10)
    """How often a model is asked that fails before it has written anything."""
    provider_retry_pause: float = Field(0.5, gt=0)
    """Seconds before the second try, give or take a quarter; doubled from try to try."""
    provider_retry_longest: float = Field(20.0, gt=0)
    """The longest such pause, also where the provider asks for a longer one."""

    provider_circuit_failures: int = Field(5, ge=1)
    """In a row, after which a provider is left alone."""
    provider_circuit_pause: float = Field(30.0, gt=0)
    """Seconds that it is, before one call finds out whether it answers again."""

    @field_validator("fallback_chat_provider", mode="before")
    @classmethod
    def _in_order(cls, value: object) -> object:
        if value is None:
            return ()
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @property
    def resolved_chat_provider(self) -> ChatProviderName:
        if self.chat_provider is not None:
            return self.chat_provider
        if self.gemini_api_key:
            return "gemini"
        if self.openai_api_key or self.openai_base_url:
            return "openai"
        return "anthropic" if self.anthropic_api_key or self.anthropic_base_url else "local"
