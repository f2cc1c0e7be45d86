"""uvicorn's WebSocket protocol, with an end for peers that have stopped reading.

The overridden methods are private to uvicorn: `tests/app/test_socket_limits.py` shows that they are still called.
"""

from __future__ import annotations

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

INVALID_DATA = 1007
"""RFC 6455, 7.4.1: a text message that is not UTF-8."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """A connection that is over ends, whether or not the peer takes what is still to be sent to it."""

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
