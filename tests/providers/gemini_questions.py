"""How the tests of Gemini's chat ask, and what they get."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from gemini_server import GeminiServer, in_time

from core.errors import ProviderError
from providers.base import ChatEvent, ChatMessage, ChatRequest
from providers.gemini import GeminiChat

KEY = "test-key-1"


def chat_with(
    server: GeminiServer, *, key: str = KEY, timeout: float = 5.0, model: str = "gemini-2.5-flash"
) -> GeminiChat:
    return GeminiChat(
        api_key=key,
        model=model,
        timeout=timeout,
        endpoint=server.endpoint,
        root_certificates=server.root_certificates,
    )


def question(text: str = "What is a colloquy?", *, model: str = "") -> ChatRequest:
    return ChatRequest(
        model=model,
        temperature=0.25,
        system="Answer only from the context.",
        messages=(ChatMessage("user", "Hello"), ChatMessage("assistant", "Hello to you"), ChatMessage("user", text)),
        question=text,
        passages=(),
    )


async def collect(provider: GeminiChat, request: ChatRequest | None = None) -> list[ChatEvent]:
    return [event async for event in provider.stream(request or question())]


async def failure(provider: GeminiChat, request: ChatRequest | None = None) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await in_time(collect(provider, request))
    return caught.value


async def failure_of(stream: AsyncIterator[ChatEvent]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await anext(stream)
    return caught.value
