"""uvicorn's HTTP protocol, with limits on a request's head, which httptools would collect for ever, and on the time
that a client has to take its response, or to go on with a stream.

The overridden methods are private to uvicorn: `tests/app/test_request_head.py` shows that they are still called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Final

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.headers import refusal_headers
from app.response_watch import ResponseWatch, UnreadResponses
from app.slow_peers import StallWatch, bound_buffers
from core.settings import Settings

DRAINING = "draining"
"""In the application's state: an `asyncio.Event` for when the process is about to end."""
EXTENSION: Final = "colloquy.request"
"""Under which name of its scope's extensions an application finds the `RequestProtocol` that it answers by."""
HEAD_BYTES = 64 * 1024
"""Of request line and headers together: what nginx and Apache take at the most, as they are set up usually."""


class _HeadTooLargeError(Exception): ...


class RequestProtocol(HttpToolsProtocol):
    """A connection on which a request's head must arrive, whole, within a time and a size, and its response be read."""

    head_seconds = 30.0
    stall_timeout = 10.0
    """Seconds that a client may read nothing of a stream that waits for it; then the connection is cut."""

    unread: UnreadResponses
    headers_of_refusals: ClassVar[Mapping[str, str]] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called once; the first request is expected at once."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._unfinished_bytes = 0
        self._too_large = self._in_body = False
        self._turns = False
        """Whether a request has begun or ended in what is being read."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None
        self._watch = ResponseWatch(transport, self.unread)
        self._stall: StallWatch | None = None
        """Of a connection that streams."""
        self._expect_head()

    def begin_stream(self) -> None:
        """The response is a stream: what is kept for its client is bounded, and it must read. The last on a connection.

        Who stalls is cut off without an end, and so knows that there is more after the last cursor.
        """
        self._watch.only_count()
        bound_buffers(self.transport)
        self._stall = StallWatch(self.transport, self.stall_timeout, self._watch.give_up)
        if self.flow.write_paused:
            # By a response before, of which the client has not taken enough.
            self._watch_client()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once."""
        self._stop_timer()
        self._watch.stop()
        if self._stall is not None:
            self._stall.stop()
        # uvicorn tells the request that came last alone; one before it would write to a connection that is closed.
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Called when the server is about to end, which then waits for responses: those that go on are told to end."""
        super().shutdown()
        draining = self.app_state.get(DRAINING)
        if draining is not None:
            draining.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        cycle.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        """Called when more waits to be sent than the transport likes to keep."""
        super().pause_writing()
        self._watch_client()

    def resume_writing(self) -> None:
        """Called when most of it has been sent."""
        super().resume_writing()
        self._watch.progress()
        if self._stall is not None and not self.transport.is_closing():
            self._stall.stop()

    def on_response_complete(self) -> None:
        """Called when all of a response has been handed to the transport."""
        super().on_response_complete()
        # In the next turn, when the transport has sent what it can.
        self.loop.call_soon(self._watch_client)

    def handle_websocket_upgrade(self) -> None:
        """Called for a handshake, after which the connection is somebody else's."""
        self._watch.stop()
        super().handle_websocket_upgrade()

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
            self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _watch_client(self) -> None:
        self._watch.begin()
        if self._stall is not None:
            self._stall.begin()

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
        given: dict[str, Any] = {
            "connection": "close",
            "content-type": "text/plain; charset=utf-8",
            "content-length": len(reason),
            **self.headers_of_refusals,
        }
        lines = [f"{name}: {value}\r\n" for name, value in given.items()]
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\n{''.join(lines)}"
        self.transport.write(f"{head}\r\n{reason}".encode())
        self.transport.close()
        self._watch.begin()


def request_protocol(settings: Settings) -> type[RequestProtocol]:
    """The protocol with the settings' times and sizes."""
    unread = UnreadResponses(settings.response_timeout, settings.responses_max_bytes)
    given = {
        "head_seconds": settings.request_timeout,
        "stall_timeout": settings.socket_stall_timeout,
        "unread": unread,
        "headers_of_refusals": refusal_headers(settings),
    }
    return type("RequestProtocol", (RequestProtocol,), given)
