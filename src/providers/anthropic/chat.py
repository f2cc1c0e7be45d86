"""Anthropic's Messages API as a chat provider."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from providers import failures
from providers.anthropic.events import read_event
from providers.base import ChatEvent, ChatMessage, ChatProvider, ChatRequest, StopReason
from providers.http.answers import Dialect, StreamedAnswers
from providers.http.chunks import count_in
from providers.http.connection import HttpConnection, header_key
from providers.http.optional import OptionalParameters
from providers.http.refusals import Names, RefusedError

VENDOR_URL = "https://api.anthropic.com"
_VERSION = "2023-06-01"
"""Of the API: what is added to it since does not change what is read here."""
_COUNT_BYTES = 64 * 1024
_CUT = "(Earlier messages are left out.)"
_NAMES = Names("anthropic", key="ANTHROPIC_API_KEY", base_url="ANTHROPIC_BASE_URL", model="ANTHROPIC_MODEL")
_DIALECT = Dialect(
    path="v1/messages",
    read=read_event,
    stop_reasons={
        "end_turn": StopReason.COMPLETE,
        "stop_sequence": StopReason.COMPLETE,
        "max_tokens": StopReason.LENGTH,
        "model_context_window_exceeded": StopReason.LENGTH,
        "refusal": StopReason.CONTENT_FILTERED,
    },
)


class AnthropicChat(ChatProvider):
    """Streams answers from `POST v1/messages`. Nothing is retried here; the caller sees each failure.

    The caller bounds the waits for an answer. A `ping` is a sign of life of the connection and not of the model.
    """

    name = "anthropic"
    highest_temperature = 1.0

    def __init__(
        self,
        *,
        api_key: str | None,
        model: str,
        base_url: str = VENDOR_URL,
        max_tokens: int = 8_192,
        timeout: float = 30.0,
    ) -> None:
        """`max_tokens`: of an answer. `timeout`: seconds to connect, at most ten, and to count tokens.

        Without a key only for a server of one's own. Raises `ConfigurationError`.
        """
        self.default_model = model
        self._max_tokens = max_tokens
        self._timeout = timeout
        headers = {"anthropic-version": _VERSION}
        if api_key is not None:
            headers["x-api-key"] = header_key(api_key, _NAMES.key)
        # Many a client's setting has the version's folder in it.
        address = base_url.rstrip("/").removesuffix("/v1")
        self._connection = HttpConnection(base_url=address, headers=headers, names=_NAMES, timeout=timeout)
        # Claude Opus 4.7 and what came after it take no temperature.
        self._answers = StreamedAnswers(self._connection, _DIALECT, OptionalParameters("temperature"))

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """As `StreamedAnswers.stream` has it. Raises `ProviderError`."""
        model = request.model or self.default_model
        body: dict[str, Any] = {
            "model": model,
            "max_tokens": self._max_tokens,
            "messages": _turns(request.messages),
            "stream": True,
            # Elsewhere it goes to 2.
            "temperature": min(request.temperature, self.highest_temperature),
        }
        if request.system:
            body["system"] = request.system
        return self._answers.stream(body, model)

    async def count_tokens(self, text: str, *, model: str) -> int:
        """By `POST v1/messages/count_tokens`, which costs nothing and has rate limits of its own.

        Raises `ProviderError`.
        """
        model = model or self.default_model
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        try:
            counted = await self._connection.call(
                "v1/messages/count_tokens", body, model, seconds=self._timeout, most_bytes=_COUNT_BYTES
            )
        except RefusedError as refusal:
            raise refusal.error from None
        tokens = count_in(counted, "input_tokens")
        if tokens is None:
            raise failures.unreadable()
        return tokens

    async def check_model(self) -> None:
        """For start-up. Raises `ConfigurationError` when key or model are no good; warns when that is not clear."""
        await self._connection.check_model("v1/models", self.default_model)

    async def has_model(self, model: str) -> bool | None:
        """By GET `v1/models`. Raises `ProviderError` PROVIDER_AUTH."""
        return await self._connection.has_model("v1/models", model)

    async def aclose(self) -> None:
        """End running calls and close the connections. Safe to call twice."""
        await self._connection.aclose()


def _turns(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    """As the API takes them: none blank, and the user's first, which a history that was cut need not begin with."""
    turns = [{"role": message.role, "content": message.text} for message in messages if message.text.strip()]
    if turns and turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": _CUT})
    return turns
