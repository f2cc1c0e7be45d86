"""Breaking what lies between the product and others: a relay before its servers, and the models' side of the wire."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from core.settings import Settings

# The stand-ins live beside the tests of the providers.
sys.path.append(str(Path(__file__).parent / "providers"))

from gemini_server import (
    Cut,
    Fail,
    GeminiServer,
    Raw,
    Say,
    Step,
    Until,
    gemini_server,
    in_time,
)
from tls_relay import Relay, make_certificate

from anthropic_server import AnthropicServer, anthropic_server
from openai_embeddings import EmbeddingsServer, embeddings_server
from openai_server import OpenAIServer, openai_server

__all__ = [
    "AnthropicServer",
    "Cut",
    "EmbeddingsServer",
    "Fail",
    "GeminiServer",
    "OpenAIServer",
    "Raw",
    "Relay",
    "Say",
    "Step",
    "Until",
    "anthropic",
    "gemini",
    "in_time",
    "make_certificate",
    "openai",
    "openai_embeddings",
    "relayed",
]


@asynccontextmanager
async def relayed(url: str) -> AsyncIterator[tuple[str, Relay]]:
    """The same URL by way of a port that can be closed (`Relay.close`) and opened again (`Relay.listen_again`), or
    fall silent (`Relay.hang`) and answer again (`Relay.answer_again`)."""
    relay = Relay()
    parts = urlsplit(url)
    assert parts.port is not None
    await relay.listen(parts.port)
    try:
        yield url.replace(f":{parts.port}/", f":{relay.port}/"), relay
    finally:
        await relay.close()


@asynccontextmanager
async def gemini(settings: Settings, folder: Path, **changes: object) -> AsyncIterator[tuple[GeminiServer, Settings]]:
    """A stand-in for Gemini, and settings of a product that uses it; `changes` are further settings."""
    async with gemini_server() as server:
        certificates = folder / "gateway.pem"
        certificates.write_bytes(server.root_certificates)
        values = {
            "gemini_api_key": "test-key-1",
            "gemini_endpoint": server.endpoint,
            "gemini_root_certificates": certificates,
            "provider_timeout": 5.0,
            "provider_retry_pause": 0.01,
            # Scripts fail as often as they like: only tests of circuits have some.
            "provider_circuit_failures": 1_000_000,
            **changes,
        }
        yield server, Settings.model_validate(settings.model_dump() | values)


@asynccontextmanager
async def openai(settings: Settings, **changes: object) -> AsyncIterator[tuple[OpenAIServer, Settings]]:
    """A stand-in for an OpenAI-compatible server, and settings of a product that uses it, soon tired of a failure."""
    async with openai_server() as server:
        values = {
            "chat_provider": "openai",
            "openai_base_url": server.base_url,
            "provider_timeout": 5.0,
            "provider_retry_pause": 0.01,
            # Scripts fail as often as they like: only tests of circuits have some.
            "provider_circuit_failures": 1_000_000,
            **changes,
        }
        yield server, Settings.model_validate(settings.model_dump() | values)


@asynccontextmanager
async def openai_embeddings(settings: Settings, **changes: object) -> AsyncIterator[tuple[EmbeddingsServer, Settings]]:
    """A stand-in for a compatible server's embeddings, and settings of a product whose new tenants' vectors are its."""
    async with embeddings_server() as server:
        values = {
            "chat_provider": "local",
            "embedding_provider": "openai",
            "openai_embedding_base_url": server.base_url,
            "provider_timeout": 5.0,
            "provider_retry_pause": 0.01,
            # Scripts fail as often as they like: only tests of circuits have some.
            "provider_circuit_failures": 1_000_000,
            **changes,
        }
        yield server, Settings.model_validate(settings.model_dump() | values)


@asynccontextmanager
async def anthropic(settings: Settings, **changes: object) -> AsyncIterator[tuple[AnthropicServer, Settings]]:
    """A stand-in for Anthropic, and settings of a product that uses it, soon tired of a failure."""
    async with anthropic_server() as server:
        values = {
            "chat_provider": "anthropic",
            "anthropic_api_key": "test-key-1",
            "anthropic_base_url": server.base_url,
            "provider_timeout": 5.0,
            "provider_retry_pause": 0.01,
            # Scripts fail as often as they like: only tests of circuits have some.
            "provider_circuit_failures": 1_000_000,
            **changes,
        }
        yield server, Settings.model_validate(settings.model_dump() | values)
