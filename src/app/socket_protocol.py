"""uvicorn's WebSocket protocol, with an end for peers that have stopped reading, and for those that say too much.

The overridden methods are private to uvicorn: `tests/app/test_socket_limits.py` shows that they are still called.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.headers import refusal_headers
from app.message_budget import BudgetedServer, MessageBudget, TooManyMessagesError
from core.settings import Settings

LINGER_SECONDS = 2.0
"""For the peer to read why, and go; nothing of it is read meanwhile."""
INVALID_DATA = 1007
"""RFC 6455, 7.4.1: a text message that is not UTF-8."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """A connection that is over ends, whether or not the peer takes what is still to be sent to it."""

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
    """The protocol with the settings' budget of messages."""
    given = {
        "messages_per_second": settings.socket_messages_per_second,
        "messages_burst": settings.socket_messages_burst,
        "headers_of_refusals": refusal_headers(settings),
    }
    return type("SocketProtocol", (SocketProtocol,), given)
