"""An answer that is streamed over HTTP, in the product's vocabulary, whichever vendor's events it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import structlog

from core.errors import ProviderError
from providers import failures
from providers.base import ChatEvent, ChatFinished, ChatThinking, StopReason, TextDelta
from providers.http.chunks import Chunk
from providers.http.connection import HttpConnection
from providers.http.event_stream import EventStream, EventTooLongError
from providers.http.optional import OptionalParameters
from providers.http.refusals import Names, RefusedError, refused

_LAST_WORDS_SECONDS = 2.0
"""How long the usage and the end may take after the finish reason; some servers send neither, and do not hang up."""
_HANG_UP_SECONDS = 0.2
"""How long the body's end may take after the last event; without it the connection cannot be used again."""
_thinking = ChatThinking()
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a vendor streams: where, what an event's data says, and what its reasons to stop mean."""

    path: str
    read: Callable[[bytes], Chunk]
    stop_reasons: Mapping[str, StopReason]


class StreamedAnswers:
    """Answers of one server. Nothing is retried here; the caller sees each failure, and bounds the waits."""

    def __init__(self, connection: HttpConnection, dialect: Dialect, optional: OptionalParameters) -> None:
        self._connection, self._dialect, self._optional = connection, dialect, optional

    async def stream(self, body: Mapping[str, Any], model: str) -> AsyncGenerator[ChatEvent, None]:
        """Text as it comes, then one `ChatFinished`, without counts where the server omits them.

        What came in one read is one event. A question that the filter refuses raises CONTENT_FILTERED; an answer that
        it cuts, or that the model refuses to give, ends with that stop reason. Raises `ProviderError`.
        """
        dialect, names = self._dialect, self._connection.names
        while True:
            accepted = self._optional.accepted(body, model)
            try:
                async with self._connection.stream(dialect.path, accepted, model) as content:
                    answer = _Answer(dialect, model, names)
                    while not answer.done and (piece := await answer.next_piece(content)):
                        if event := answer.read(piece):
                            yield event
                        if answer.failure is not None:
                            raise answer.failure
                    await _read_to_end(content)
                    yield answer.finished()
                return
            except RefusedError as refusal:
                if not self._optional.left_out(refusal.received, model):
                    status, code = refusal.received.status, refusal.received.code
                    _log.info("provider_refused", provider=names.provider, model=model, status=status, code=code)
                    raise refusal.error from None


class _Answer:
    """What one response has said so far."""

    def __init__(self, dialect: Dialect, model: str, names: Names) -> None:
        self.done = False
        """Whether the last event has come."""
        self.failure: ProviderError | None = None
        """What went wrong after the text that `read` has returned."""
        self._stream = EventStream()
        self._read = dialect.read
        self._stop_reasons = dialect.stop_reasons
        self._model, self._names = model, names
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
                chunk = self._read(data)
                if chunk.text:
                    texts.append(chunk.text)
                thinking = thinking or chunk.thinking
                self._note(chunk)
                if chunk.done:
                    self.done = True
                    break
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
        # An end without a reason: the server says that it is complete, and no more.
        reason = StopReason.COMPLETE if self._finish is None else self._stop_reasons.get(self._finish)
        if reason is None or (not self._written and reason is not StopReason.CONTENT_FILTERED):
            self._log("answer_unusable", finish=self._finish, written=self._written)
            raise failures.unreadable()
        return ChatFinished(reason, self._input_tokens, self._output_tokens)

    def _note(self, chunk: Chunk) -> None:
        if chunk.error is not None:
            self._log("provider_refused_in_stream", code=chunk.error.code)
            raise refused(chunk.error, self._model, self._names)
        self._refused = self._refused or chunk.refused
        if chunk.finish is not None:
            self._finish = chunk.finish
        if chunk.input_tokens is not None:
            self._input_tokens = chunk.input_tokens
        if chunk.output_tokens is not None:
            self._output_tokens = chunk.output_tokens

    def _log(self, event: str, **fields: object) -> None:
        _log.warning(event, provider=self._names.provider, model=self._model, **fields)


async def _read_to_end(content: aiohttp.StreamReader) -> None:
    """Let the body end after the last event, so that the connection can be used again; its time is short."""
    if content.at_eof():
        return
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_HANG_UP_SECONDS):
            while await content.readany():
                pass
