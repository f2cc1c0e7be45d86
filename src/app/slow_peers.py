"""Peers that are slow to take what is written for them: what is kept for one is bounded, and one that stalls is found.

For connections that go on for as long as there is something to say: WebSockets, and streams over HTTP.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Final

SEND_BUFFER_BYTES: Final = 64 * 1024
"""Of the kernel, which takes twice of it for itself and would take 4 MB (tcp_wmem): so much a peer may be behind before
it is seen to be."""
WRITE_BUFFER_BYTES: Final = 64 * 1024
"""Of the transport; beyond it nothing is written."""
_LOOKS: Final = 8
"""So many in the time that a peer has: by an eighth of it, and a little, it may be ended late."""


def bound_buffers(transport: asyncio.WriteTransport) -> None:
    """Bound what is kept for the peer, for good: Linux does not size a buffer by itself again that was sized once."""
    transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


def untaken(transport: asyncio.WriteTransport) -> int:
    """Bytes that the peer has not acknowledged: the transport's and the kernel's.

    The kernel asks for more only when a third of its buffer is free, so that the transport's alone would tell too late.
    """
    queued = bytes(4)
    with suppress(OSError, ValueError):  # not of every kind of socket, on every system
        queued = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
    return transport.get_write_buffer_size() + int(struct.unpack("i", queued)[0])


class StallWatch:
    """Looks whether a peer takes anything of what waits for it, while nothing (but a ping) is added to that."""

    def __init__(self, transport: asyncio.WriteTransport, seconds: float, stalled: Callable[[], None]) -> None:
        """`stalled` is called once for each `begin`, when the peer has taken nothing for so many seconds."""
        self._transport, self._seconds, self._stalled = transport, seconds, stalled
        self._timer: asyncio.TimerHandle | None = None
        self._untaken = 0
        self._last_taken = 0.0

    def begin(self) -> None:
        """More waits than may, or nothing more will come. Nothing happens where nothing waits."""
        if self._timer is None and self._transport.get_write_buffer_size():
            self._untaken = untaken(self._transport)
            self._last_taken = asyncio.get_running_loop().time()
            self._look_later()

    def stop(self) -> None:
        """More may be written, or there is nobody any more to write to."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds / _LOOKS, self._look)

    def _look(self) -> None:
        self._timer = None
        before, self._untaken = self._untaken, untaken(self._transport)
        now = asyncio.get_running_loop().time()
        if self._untaken < before:
            self._last_taken = now
        if now - self._last_taken >= self._seconds:
            self._stalled()
        elif self._transport.get_write_buffer_size():
            self._look_later()
