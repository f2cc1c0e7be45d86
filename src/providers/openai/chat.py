"""An OpenAI-compatible server as a chat provider: its stream in the product's vocabulary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import aiohttp
import structlog

from core.errors import ProviderError
from providers.base import (
    ChatEvent,
    ChatFinished,
    ChatProvider,
    ChatRequest,
    ChatThinking,
    StopReason,
    TextDelta,
)
from providers.openai import failures
from providers.openai.chunks import Chunk, read_chunk
from providers.openai.connection import VENDOR_URL, OpenAIConnection, RefusedError
from providers.openai.event_stream import EventStream, EventTooLongError

_LAST_WORDS_SECONDS = 2.0
"""How long the usage and `[DONE]` may take after the finish reason; some servers send neither, and do not hang up."""
_HANG_UP_SECONDS = 0.2
"""How long the body's end may take after `[DONE]`; without it the connection cannot be used again."""
_STOP_REASONS = {
    "stop": StopReason.COMPLETE,
    "eos": StopReason.COMPLETE,
    "eos_token": StopReason.COMPLETE,
    "stop_sequence": StopReason.COMPLETE,
    "end_turn": StopReason.COMPLETE,
    "length": StopReason.LENGTH,
    "max_tokens": StopReason.LENGTH,
    "content_filter": StopReason.CONTENT_FILTERED,
}
_OPTIONAL = ("temperature", "stream_options")
"""Parameters that some models, or older servers, refuse: left out from then on where one is named in a refusal."""
_thinking = ChatThinking()
_log = structlog.get_logger(__name__)


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
        self._connection = OpenAIConnection(api_key=api_key, base_url=base_url, timeout=connect_timeout)
        self._refused: dict[str, set[str]] = {}
        """Of each model, the optional parameters that it does not take."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Text as it comes, then one `ChatFinished`, without counts where the server omits them.

        What came in one read is one event. A question that the filter refuses raises CONTENT_FILTERED; an answer that
        it cuts, or that the model refuses to give, ends with that stop reason. Raises `ProviderError`.
        """
        model = request.model or self.default_model
        while True:
            try:
                async with self._connection.stream(self._body(request, model), model) as content:
                    completion = _Completion(model)
                    while not completion.done and (piece := await completion.next_piece(content)):
                        if event := completion.read(piece):
                            yield event
                        if completion.failure is not None:
                            raise completion.failure
                    await _read_to_end(content)
                    yield completion.finished()
                return
            except RefusedError as refusal:
                if not self._leave_out(refusal, model):
                    _log.info("openai_refused", model=model, status=refusal.received.status, code=refusal.received.code)
                    raise refusal.error from None

    async def check_model(self) -> None:
        """For start-up. Raises `ConfigurationError` when key or model are no good; warns when that is not clear."""
        await self._connection.check_model(self.default_model)

    async def aclose(self) -> None:
        """End running calls and close the connections. Safe to call twice."""
        await self._connection.aclose()

    def _body(self, request: ChatRequest, model: str) -> dict[str, Any]:
        messages = [{"role": "system", "content": request.system}] if request.system else []
        messages += [{"role": message.role, "content": message.text} for message in request.messages]
        body: dict[str, Any] = {
            "model": model,
            "messages": messages,
            "stream": True,
            "temperature": request.temperature,
            "stream_options": {"include_usage": True},
        }
        return {name: value for name, value in body.items() if name not in self._refused.get(model, ())}

    def _leave_out(self, refusal: RefusedError, model: str) -> bool:
        """Whether the request is worth sending again without a parameter that was refused."""
        received = refusal.received
        if received.status not in (400, 422):
            return False
        known = self._refused.setdefault(model, set())
        for name in _OPTIONAL:
            if name not in known and (received.parameter.startswith(name) or name in received.detail):
                known.add(name)
                return True
        return False


class _Completion:
    """What one response has said so far."""

    def __init__(self, model: str) -> None:
        self.done = False
        """Whether `[DONE]` has come."""
        self.failure: ProviderError | None = None
        """What went wrong after the text that `read` has returned."""
        self._stream = EventStream()
        self._model = model
        self._written = False
        self._refused = False
        self._finish: str | None = None
        self._input_tokens: int | None = None
        self._output_tokens: int | None = None

    async def next_piece(self, content: aiohttp.StreamReader) -> bytes:
        """The next bytes; empty at the end, or when nothing comes after the finish reason."""
        if self._finish is None:
            return await content.readany()
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                return await content.readany()
        except TimeoutError:
            return b""

    def read(self, piece: bytes) -> TextDelta | ChatThinking | None:
        """What these bytes say; sets `done` and `failure`."""
        texts: list[str] = []
        thinking = False
        try:
            for data in self._stream.feed(piece):
                if data == b"[DONE]":
                    self.done = True
                    break
                chunk = read_chunk(data)
                if chunk.text:
                    texts.append(chunk.text)
                thinking = thinking or chunk.thinking
                self._note(chunk)
        except EventTooLongError:
            self.failure = failures.unreadable()
        except ProviderError as error:
            self.failure = error
        if texts:
            self._written = True
            return TextDelta(texts[0] if len(texts) == 1 else "".join(texts))
        return _thinking if thinking else None

    def finished(self) -> ChatFinished:
        """How it ended. Raises `ProviderError` where it broke off, wrote nothing, or gave an odd reason."""
        if self._refused:
            return ChatFinished(StopReason.CONTENT_FILTERED, self._input_tokens, self._output_tokens)
        if self._finish is None and not self.done:
            # Cut off between two chunks by a server that closes the connection in order.
            raise failures.unavailable() if self._written else failures.unreadable()
        # `[DONE]` without a reason: the server says that it is complete, and no more.
        reason = _STOP_REASONS.get(self._finish or "stop")
        if reason is None or (not self._written and reason is not StopReason.CONTENT_FILTERED):
            _log.warning("openai_answer_unusable", model=self._model, finish=self._finish, written=self._written)
            raise failures.unreadable()
        return ChatFinished(reason, self._input_tokens, self._output_tokens)

    def _note(self, chunk: Chunk) -> None:
        if chunk.error is not None:
            _log.info("openai_refused_in_stream", model=self._model, code=chunk.error.code)
            raise failures.refused(chunk.error, self._model)
        self._refused = self._refused or chunk.refused
        if chunk.finish is not None:
            self._finish = chunk.finish
        if chunk.input_tokens is not None:
            self._input_tokens, self._output_tokens = chunk.input_tokens, chunk.output_tokens


async def _read_to_end(content: aiohttp.StreamReader) -> None:
    """Let the body end after `[DONE]`, so that the connection can be used again; its time is short."""
    if content.at_eof():
        return
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_HANG_UP_SECONDS):
            while await content.readany():
                pass
