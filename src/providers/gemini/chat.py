"""Gemini as a chat provider: the vendor's stream in the product's vocabulary."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from core.errors import ErrorCode, ProviderError
from providers import failures
from providers.base import ChatEvent, ChatFinished, ChatProvider, ChatRequest, StopReason, TextDelta
from providers.gemini.connection import GeminiConnection

_log = structlog.get_logger(__name__)

_SETTING = "GEMINI_CHAT_MODEL"
_STOP_REASONS = {
    "STOP": StopReason.COMPLETE,
    "MAX_TOKENS": StopReason.LENGTH,
    "SAFETY": StopReason.CONTENT_FILTERED,
    "RECITATION": StopReason.CONTENT_FILTERED,
    "BLOCKLIST": StopReason.CONTENT_FILTERED,
    "PROHIBITED_CONTENT": StopReason.CONTENT_FILTERED,
    "SPII": StopReason.CONTENT_FILTERED,
    "IMAGE_SAFETY": StopReason.CONTENT_FILTERED,
}


class GeminiChat(ChatProvider):
    """Streams answers from `models/*:streamGenerateContent`. Nothing is retried here; the caller sees each failure."""

    name = "gemini"

    def __init__(
        self,
        *,
        api_key: str,
        model: str = "gemini-2.5-flash",
        timeout: float = 30.0,
        endpoint: str | None = None,
        root_certificates: bytes | None = None,
    ) -> None:
        """`timeout`: seconds to the first token, and between tokens. `endpoint`: host:port instead of the vendor's.

        `root_certificates` (PEM) replace the system's, for a gateway with a certificate of its own.
        Raises `ConfigurationError`.
        """
        self.default_model = model
        self._connection = GeminiConnection(
            api_key=api_key, timeout=timeout, endpoint=endpoint, root_certificates=root_certificates
        )

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Text as it comes, then one `ChatFinished`; `output_tokens` include the model's hidden thinking.

        A question that the filter refuses raises CONTENT_FILTERED; an answer that it cuts ends with that stop reason.
        Raises `ProviderError`.
        """
        model = request.model or self.default_model
        wire = await self._connection.wire()
        finish: str | None = None
        input_tokens: int | None = None
        output_tokens: int | None = None
        written = False
        # aclosing: the vendor's call ends when this generator is closed, not when the collector finds it.
        async with aclosing(wire.stream_content(request, model=model, setting=_SETTING)) as chunks:
            async for chunk in chunks:
                if chunk.blocked is not None:
                    _log.info("gemini_question_blocked", model=model, reason=chunk.blocked)
                    raise failures.filtered()
                if chunk.input_tokens is not None:
                    input_tokens, output_tokens = chunk.input_tokens, chunk.output_tokens
                # Some models put STOP into every chunk: only the end of the stream is the end.
                finish = chunk.finish or finish
                if chunk.text:
                    written = True
                    yield TextDelta(chunk.text)
        yield ChatFinished(self._stop_reason(finish, model, written=written), input_tokens, output_tokens)

    async def count_tokens(self, text: str, *, model: str) -> int:
        """By `models/*:countTokens`, which costs nothing (https://ai.google.dev/gemini-api/docs/tokens).

        Raises `ProviderError`.
        """
        wire = await self._connection.wire()
        return await wire.count_tokens(text, model=model or self.default_model, setting=_SETTING)

    async def check_model(self) -> None:
        """For start-up. Raises `ConfigurationError` when the model is dead; warns when the vendor does not answer."""
        await self._connection.check_model(self.default_model, method="generateContent", setting=_SETTING)

    async def has_model(self, model: str) -> bool | None:
        """By `models.get`. Raises `ProviderError` PROVIDER_AUTH."""
        return await self._connection.has_model(model, method="generateContent", setting=_SETTING)

    async def aclose(self) -> None:
        """End running calls and close the channels. Safe to call twice."""
        await self._connection.aclose()

    def _stop_reason(self, finish: str | None, model: str, *, written: bool) -> StopReason:
        """Raises PROVIDER_BAD_RESPONSE for a stream that ended without a reason, without text, or with an odd one."""
        reason = _STOP_REASONS.get(finish or "")
        if reason is None or (not written and reason is not StopReason.CONTENT_FILTERED):
            _log.warning("gemini_answer_unusable", model=model, finish_reason=finish, written=written)
            if reason is StopReason.LENGTH:
                raise ProviderError(
                    ErrorCode.PROVIDER_BAD_RESPONSE,
                    "The model used up its length before it wrote an answer. Ask for less at once.",
                    retryable=True,
                )
            raise failures.unreadable()
        return reason
