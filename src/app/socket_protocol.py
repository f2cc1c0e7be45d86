"""uvicorn's WebSocket protocol: its buffers are bounded; peers that do not read, or say too much, are ended.

The overridden methods are private to uvicorn: `tests/app/test_socket_faults.py`, `tests/app/test_socket_limits.py` and
`tests/app/test_slow_viewers.py` show that they are still called.
"""

from __future__ import annotations

import logging
from asyncio.transports import BaseTransport, Transport
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.headers import refusal_headers
from app.message_budget import BudgetedServer, MessageBudget, TooManyMessagesError
from app.slow_peers import StallWatch, bound_buffers
from core.settings import Settings

LINGER_SECONDS = 2.0
"""For a peer that said too much to read why, and go; nothing of it is read meanwhile."""
EXTENSION: Final = "colloquy.connection"
"""Under which name of its scope's extensions an application finds the `SocketProtocol` that it talks by."""
INVALID_DATA = 1007
"""RFC 6455, 7.4.1: a text message that is not UTF-8."""
TRY_AGAIN = 1013
_TEXT: Final = 0x81
"""The first byte of a text message that is one frame."""
STALLED = "You have read nothing for too long. Connect again, and go on after your last cursor."


class Drained(Protocol):
    """Who waits until a connection takes more."""

    def drained(self) -> None:
        """It does. Must not wait."""
        ...


class SocketProtocol(WebSocketsSansIOProtocol):
    """A connection that is over ends, whether or not the peer takes what is still to be sent to it."""

    stall_timeout = 10.0
    """Seconds that a peer may read nothing of what waits for it. Then it is closed, and after as many aborted."""

    messages_per_second = 20
    messages_burst = 150
    headers_of_refusals: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = BudgetedServer(
            MessageBudget(self.messages_per_second, self.messages_burst),
            self.headers_of_refusals,
            max_size=self.config.ws_max_size,
            logger=logging.getLogger("uvicorn.error"),
        )
        self._waiting: dict[Drained, None] = {}

    def connection_made(self, transport: BaseTransport) -> None:
        """Bound what is kept for the peer."""
        super().connection_made(transport)
        bound_buffers(cast("Transport", transport))
        self._stall = StallWatch(cast("Transport", transport), self.stall_timeout, self._end_stalled)

    def handle_connect(self, event: Any) -> None:
        """Let the application find us, where a text can be written as it is: no extension compresses it."""
        super().handle_connect(event)
        if self.response.status_code == 101 and not self.conn.extensions:
            cast("dict[str, Any]", self.scope["extensions"])[EXTENSION] = self

    @property
    def takes_text(self) -> bool:
        """Whether text that is written now goes out soon."""
        return self.writable.is_set()

    def write_text(self, *parts: bytes) -> bool:
        """Send a text message at once, unless more waits than may: then False. Lost where the connection is at its end.

        The frame is made here (RFC 6455, 5.2): `websockets` takes five calls and two copies for it, which is a third of
        what a message costs in all (bench/RESULTS.md). Without extensions there is no more to a frame than its head.
        """
        if not self.writable.is_set():
            return False
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return True
        size = sum(map(len, parts))
        if size < 126:
            head = bytes((_TEXT, size))
        elif size < 65_536:
            head = bytes((_TEXT, 126, size >> 8, size & 0xFF))
        else:
            head = bytes((_TEXT, 127)) + size.to_bytes(8, "big")
        self.transport.write(b"".join((head, *parts)))
        return True

    def when_drained(self, waiting: Drained) -> None:
        """Tell somebody once when the peer has taken enough."""
        self._waiting[waiting] = None

    def forget(self, waiting: Drained) -> None:
        """The end of `when_drained`."""
        self._waiting.pop(waiting, None)

    def pause_writing(self) -> None:
        """More waits than may: watch whether the peer takes any of it."""
        super().pause_writing()
        self._stall.begin()

    def resume_writing(self) -> None:
        """One after the other may write, as long as it goes out."""
        super().resume_writing()
        self._stall.stop()
        while self._waiting and self.writable.is_set():
            waiting = next(iter(self._waiting))
            del self._waiting[waiting]
            waiting.drained()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for a peer that is gone: the application is told of that."""
        self._stall.stop()
        super().connection_lost(exc)

    def _end_stalled(self) -> None:
        if self.close_sent or self.transport.is_closing():
            self.transport.abort()
            return
        self.stop_keepalive()
        self.conn.send_close(TRY_AGAIN, STALLED)
        self.transport.writelines(self.conn.data_to_send())
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": TRY_AGAIN})
        # Who waits to send something is told, by an exception, that it is too late.
        self.writable.set()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        # Once more as long, to take what waits and then the close frame.
        self.close_timer = self.loop.call_later(self.stall_timeout, self.transport.abort)

    def handle_parser_exception(self) -> None:
        """The peer broke the protocol, or said too much. What it sent before and nobody has read yet is dropped."""
        while not self.queue.empty():
            self.queue.get_nowait()
        if not isinstance(self.conn.parser_exc, TooManyMessagesError):
            super().handle_parser_exception()
            return
        # Not closed at once, as uvicorn would: what is still arriving would reset the connection, and with it the
        # close frame be lost.
        assert self.conn.close_sent is not None
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.read_paused = False  # so that nobody resumes
        self.transport.pause_reading()
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """The peer has not answered a ping: it will not read the rest either."""
        super().keepalive_timeout()
        if self.transport.get_write_buffer_size():
            # asyncio would wait for the peer to take it, and the operations with it.
            self.transport.abort()

    async def send(self, message: ASGISendEvent) -> None:
        """After a close frame the peer has uvicorn's ten seconds to answer, whatever is still to be sent to it."""
        await super().send(message)
        if message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def send_receive_event_to_app(self) -> None:
        """Pass a message on; uvicorn itself would log a traceback for one that is not UTF-8."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.conn.send_close(INVALID_DATA, "A text message must be UTF-8.")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()


def socket_protocol(settings: Settings) -> type[SocketProtocol]:
    """The protocol with the settings' patience and budget of messages."""
    own = {
        "stall_timeout": settings.socket_stall_timeout,
        "messages_per_second": settings.socket_messages_per_second,
        "messages_burst": settings.socket_messages_burst,
        "headers_of_refusals": refusal_headers(settings),
    }
    return type("SocketProtocol", (SocketProtocol,), own)
