"""An OpenAI-compatible server as a chat provider: its stream in the product's vocabulary."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from providers.base import ChatEvent, ChatProvider, ChatRequest, StopReason
from providers.http.answers import Dialect, StreamedAnswers
from providers.http.optional import OptionalParameters
from providers.http.refusals import Names
from providers.openai.chunks import read_chunk
from providers.openai.connection import VENDOR_URL, connect

_NAMES = Names("openai", key="OPENAI_API_KEY", base_url="OPENAI_BASE_URL", model="OPENAI_CHAT_MODEL")
_DIALECT = Dialect(
    path="chat/completions",
    read=read_chunk,
    stop_reasons={
        "stop": StopReason.COMPLETE,
        "eos": StopReason.COMPLETE,
        "eos_token": StopReason.COMPLETE,
        "stop_sequence": StopReason.COMPLETE,
        "end_turn": StopReason.COMPLETE,
        "length": StopReason.LENGTH,
        "max_tokens": StopReason.LENGTH,
        "content_filter": StopReason.CONTENT_FILTERED,
    },
)


class OpenAIChat(ChatProvider):
    """Streams answers from `POST chat/completions`. Nothing is retried here; the caller sees each failure.

    The caller bounds the waits: a server that says nothing is waited for until the stream is closed.
    """

    name = "openai"

    def __init__(
        self, *, api_key: str | None, model: str, base_url: str = VENDOR_URL, connect_timeout: float = 10.0
    ) -> None:
        """Without a key only for a server of one's own. Raises `ConfigurationError`."""
        self.default_model = model
        self._connection = connect(api_key=api_key, base_url=base_url, timeout=connect_timeout, names=_NAMES)
        optional = OptionalParameters("temperature", "stream_options")
        self._answers = StreamedAnswers(self._connection, _DIALECT, optional)

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """As `StreamedAnswers.stream` has it. Raises `ProviderError`."""
        model = request.model or self.default_model
        messages = [{"role": "system", "content": request.system}] if request.system else []
        messages += [{"role": message.role, "content": message.text} for message in request.messages]
        body = {
            "model": model,
            "messages": messages,
            "stream": True,
            "temperature": request.temperature,
            "stream_options": {"include_usage": True},
        }
        return self._answers.stream(body, model)

    async def check_model(self) -> None:
        """For start-up. Raises `ConfigurationError` when key or model are no good; warns when that is not clear."""
        await self._connection.check_model("models", self.default_model)

    async def has_model(self, model: str) -> bool | None:
        """By GET `models`. Raises `ProviderError` PROVIDER_AUTH."""
        return await self._connection.has_model("models", model)

    async def aclose(self) -> None:
        """End running calls and close the connections. Safe to call twice."""
        await self._connection.aclose()
