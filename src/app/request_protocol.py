"""uvicorn's HTTP protocol, with limits on a request's head, which httptools would collect for ever.

The overridden methods are private to uvicorn: `tests/app/test_request_head.py` shows that they are still called.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 * 1024
"""Of request line and headers together: what nginx and Apache take at the most, as they are set up usually."""


class _HeadTooLargeError(Exception): ...


class RequestProtocol(HttpToolsProtocol):
    """A connection on which a request's head must arrive, whole, within a time and a size."""

    head_seconds = 30.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called once; the first request is expected at once."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._unfinished_bytes = 0
        self._too_large = self._in_body = False
        self._turns = False
        """Whether a request has begun or ended in what is being read."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Called for what has arrived, at most 256 KiB."""
        self._turns = False
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self._head_timer is None and self.timeout_keep_alive_task is None:
            # uvicorn stopped its own timer, though it was an empty line, or a body that nobody waits for.
            self._expect_head()
        if self._head_timer is not None and not self._in_body and not self._turns:
            # Where a request has just begun or ended, what came before is none of the next one's head.
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > HEAD_BYTES:
                self._refuse_too_large()

    def on_message_begin(self) -> None:
        """Called at a request's first byte."""
        super().on_message_begin()
        self._turns = True
        self._head_bytes = self._unfinished_bytes = 0
        self._expect_head()

    def on_url(self, url: bytes) -> None:
        """Called for each piece of the URL."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called for each header."""
        self._count(name, value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Called at the head's end."""
        self._stop_timer()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Called at a request's end."""
        self._in_body, self._turns = False, True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Called when the parser has given up, be it at our word."""
        self._stop_timer()
        if self._too_large:
            self._refuse_too_large()
        else:
            super().send_400_response(msg)

    def _count(self, *parts: bytes) -> None:
        self._head_bytes += sum(map(len, parts))
        if self._head_bytes > HEAD_BYTES:
            self._too_large = True
            raise _HeadTooLargeError

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"The request did not begin within {self.head_seconds:g} seconds.")

    def _refuse_too_large(self) -> None:
        reason = f"The request's line and headers are larger than {HEAD_BYTES} bytes, the most allowed."
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, reason)

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._stop_timer()
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-type: text/plain\r\n"
        self.transport.write(f"{head}content-length: {len(reason)}\r\n\r\n{reason}".encode())
        self.transport.close()


def request_protocol(head_seconds: float) -> type[RequestProtocol]:
    """The protocol with so much time for a head."""
    return type("RequestProtocol", (RequestProtocol,), {"head_seconds": head_seconds})
