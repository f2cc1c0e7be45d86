"""Who embeds in which vector space, and that no setting takes a space away from the documents in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from core.errors import ConfigurationError, ErrorCode, ProviderError
from core.settings import Settings
from openai_embeddings import EmbeddingsServer, embeddings_server
from providers.gemini import GeminiEmbeddings
from providers.minilm import MiniLmEmbeddings
from providers.openai import OpenAIEmbeddings
from providers.registry import LOCAL_MODEL, Providers

GEMINI, OPENAI = "gemini-embedding-001@768", "text-embedding-3-small@1536"
KEYS = {"gemini_api_key": "g", "openai_api_key": "o"}
THROUGH_OPENAI = {"openai_embedding_model": "gemini-embedding-001", "openai_embedding_dimensions": 768}
TYPES = {"local": MiniLmEmbeddings, "gemini": GeminiEmbeddings, "openai": OpenAIEmbeddings}


@pytest.fixture
async def server() -> AsyncIterator[EmbeddingsServer]:
    async with embeddings_server() as running:
        yield running


def providers(settings: dict[str, Any]) -> Providers:
    return Providers(Settings.model_validate(settings))


@pytest.mark.parametrize("embedding_provider", ["local", "gemini", "openai"])
async def test_a_new_provider_takes_no_space_from_the_documents_that_are_in_it(embedding_provider: str) -> None:
    async with aclosing(providers(KEYS | {"embedding_provider": embedding_provider})) as found:
        for model_id, vendor in ((LOCAL_MODEL, "local"), (GEMINI, "gemini"), (OPENAI, "openai")):
            embeddings = found.embeddings(model_id)
            assert type(embeddings) is TYPES[vendor]
            assert embeddings.model_id == model_id
            assert found.embeddings(model_id) is embeddings
        assert type(found.embeddings()) is TYPES[embedding_provider]


@pytest.mark.parametrize(
    ("settings", "model_id", "vendor"),
    [
        # Another model, or another size, for new tenants.
        ({"openai_api_key": "o", "openai_embedding_model": "text-embedding-3-large"}, OPENAI, "openai"),
        ({"openai_api_key": "o", "openai_embedding_dimensions": 256}, OPENAI, "openai"),
        ({"gemini_api_key": "g", "gemini_embedding_model": "gemini-embedding-002"}, GEMINI, "gemini"),
        ({"openai_embedding_base_url": "http://127.0.0.1:1/v1"}, "bge-m3@1024", "openai"),
        # Google's model by Google's compatible endpoint: the road that is set, and else the one of its own.
        ({"openai_api_key": "o", **THROUGH_OPENAI}, GEMINI, "openai"),
        ({**KEYS, **THROUGH_OPENAI}, GEMINI, "gemini"),
        ({**KEYS, **THROUGH_OPENAI, "embedding_provider": "openai"}, GEMINI, "openai"),
    ],
    ids=["model", "size", "gemini's model", "own server", "compatible", "both", "both, compatible set"],
)
async def test_a_space_is_served_by_whoever_can(settings: dict[str, Any], model_id: str, vendor: str) -> None:
    async with aclosing(providers(settings)) as found:
        embeddings = found.embeddings(model_id)
        assert (type(embeddings), embeddings.model_id) == (TYPES[vendor], model_id)


@pytest.mark.parametrize(
    ("settings", "model_id"),
    [
        ({}, OPENAI),
        ({"gemini_api_key": "g"}, OPENAI),
        # To ask somebody else would be to hand them the question.
        ({"openai_api_key": "o"}, GEMINI),
        (KEYS, "gone-model"),
        (KEYS, "gone-model@many"),
        (KEYS, "@768"),
    ],
)
async def test_a_space_that_nobody_serves_is_told_as_such(settings: dict[str, Any], model_id: str) -> None:
    async with aclosing(providers(settings)) as found:
        with pytest.raises(ProviderError, match="not set up here") as caught:
            found.embeddings(model_id)
    assert (caught.value.code, caught.value.retryable) == (ErrorCode.PROVIDER_UNAVAILABLE, False)


@pytest.mark.parametrize(
    ("own_url", "own_key", "sent"),
    [
        (False, None, "Bearer answers"),
        (False, "vectors", "Bearer vectors"),
        (True, None, None),
        (True, "vectors", "Bearer vectors"),
    ],
    ids=["the same", "a key of its own", "another address", "another address and key"],
)
async def test_the_key_for_answers_goes_to_their_address_alone(
    server: EmbeddingsServer, own_url: bool, own_key: str | None, sent: str | None
) -> None:
    settings = {"openai_api_key": "answers", "openai_embedding_api_key": own_key}
    settings["openai_embedding_base_url" if own_url else "openai_base_url"] = server.base_url
    async with aclosing(providers(settings)) as found:
        await found.embeddings(OPENAI).embed_query("a")
    assert server.asked[0].headers.get("authorization") == sent


async def test_the_distance_limit_that_is_set_is_the_set_model_s() -> None:
    settings = {"openai_api_key": "o", "openai_embedding_max_distance": 0.9}
    async with aclosing(providers(settings)) as found:
        assert found.embeddings(OPENAI).max_distance == 0.9
        assert found.embeddings("bge-m3@1024").max_distance == 0.6


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"embedding_provider": "gemini"}, "GEMINI_API_KEY: not set"),
        ({"chat_provider": "anthropic"}, "ANTHROPIC_API_KEY: not set, and CHAT_PROVIDER is `anthropic`"),
        ({"fallback_chat_provider": "anthropic"}, "ANTHROPIC_API_KEY: not set, and FALLBACK_CHAT_PROVIDER"),
        ({"embedding_provider": "openai"}, "OPENAI_EMBEDDING_API_KEY: not set"),
        ({"openai_api_key": "o", "openai_embedding_model": "mine"}, "OPENAI_EMBEDDING_DIMENSIONS: not set"),
        ({"openai_api_key": "o", "openai_embedding_model": "a b"}, "OPENAI_EMBEDDING_MODEL: expected"),
    ],
)
async def test_what_is_not_set_up_is_told_at_the_start(settings: dict[str, Any], complaint: str) -> None:
    async with aclosing(providers({"chat_provider": "local", **settings})) as found:
        with pytest.raises(ConfigurationError, match=complaint):
            await found.check()


async def test_the_start_asks_whether_the_model_is_there(server: EmbeddingsServer) -> None:
    settings = {"embedding_provider": "openai", "openai_embedding_base_url": server.base_url}
    async with aclosing(providers(settings)) as found:
        await found.check()
    server.models = set()
    async with aclosing(providers(settings)) as found:
        with pytest.raises(ConfigurationError, match=r"OPENAI_EMBEDDING_MODEL.*text-embedding-3-small"):
            await found.check()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "local"),
        ({"anthropic_api_key": "a"}, "anthropic"),
        ({"anthropic_base_url": "http://127.0.0.1:1"}, "anthropic"),
        ({"anthropic_api_key": "a", "openai_base_url": "http://127.0.0.1:1/v1"}, "openai"),
        ({"anthropic_api_key": "a", **KEYS}, "gemini"),
        ({"anthropic_api_key": "a", "chat_provider": "local"}, "local"),
        # Of embeddings alone.
        ({"openai_embedding_api_key": "o"}, "local"),
    ],
)
async def test_who_answers_without_being_named(settings: dict[str, Any], name: str) -> None:
    async with aclosing(providers(settings)) as found:
        assert found.chat().name == name


@pytest.mark.parametrize("name", ["gemini", "openai", "anthropic"])
async def test_an_assistant_s_provider_that_has_no_key_is_told_as_such(name: str) -> None:
    async with aclosing(providers({})) as found:
        with pytest.raises(ProviderError, match=f"{name.upper()}_API_KEY is not set") as caught:
            found.chat(name)
    assert caught.value.code is ErrorCode.PROVIDER_AUTH


@pytest.mark.parametrize(
    ("value", "order"),
    [(None, ()), ("", ()), ("local", ("local",)), ("gemini, anthropic,local", ("gemini", "anthropic", "local"))],
)
def test_fallbacks_are_named_in_order(value: str | None, order: tuple[str, ...]) -> None:
    assert Settings.model_validate({"fallback_chat_provider": value}).fallback_chat_provider == order


async def test_a_fallback_that_is_named_twice_stops_the_start() -> None:
    settings = {"chat_provider": "gemini", "gemini_api_key": "g", "fallback_chat_provider": "local,local"}
    async with aclosing(providers(settings)) as found:
        with pytest.raises(ConfigurationError, match="`local` is asked before already"):
            await found.check()
