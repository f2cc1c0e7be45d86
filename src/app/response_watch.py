"""Clients that do not take their responses: how long they may, and how much of a process's memory.

asyncio keeps what is to be sent for as long as TCP lets a silent peer live, which is for ever.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from app.slow_peers import untaken

log = structlog.get_logger(__name__)
LEAST_BYTES_PER_SECOND: Final = 1_024
"""Less than the slowest line; somebody who takes a byte now and then has stopped reading, too."""


class UnreadResponses:
    """The connections of a process that keep a response, those that have done so for longest first."""

    def __init__(self, seconds: float, most_bytes: int) -> None:
        self.seconds = seconds
        self._most_bytes = most_bytes
        self._kept: dict[ResponseWatch, int] = {}
        """With the bytes that each had to send when it was counted, which can only have become fewer."""
        self._total = 0

    def add(self, watch: ResponseWatch) -> None:
        """Count a connection, or count it anew; where all of them keep too much, the oldest are given up."""
        self._count(watch)
        if self._total <= self._most_bytes:
            return
        for each in list(self._kept):
            self._count(each)
        while self._total > self._most_bytes:
            next(iter(self._kept)).give_up()

    def remove(self, watch: ResponseWatch) -> None:
        """It is taken, or given up."""
        self._total -= self._kept.pop(watch, 0)

    def _count(self, watch: ResponseWatch) -> None:
        size = watch.size
        self._total += size - self._kept.get(watch, 0)
        self._kept[watch] = size


class ResponseWatch:
    """Looks after what one connection has still to send."""

    def __init__(self, transport: asyncio.Transport, unread: UnreadResponses) -> None:
        self._transport = transport
        self._unread = unread
        self._timer: asyncio.TimerHandle | None = None
        self._untaken_before = 0
        self._progressed = False
        self._timed = True

    @property
    def size(self) -> int:
        """Bytes that the client has not taken."""
        return self._transport.get_write_buffer_size()

    def begin(self) -> None:
        """Something has been written. Nothing happens where it is sent already."""
        if not self.size:
            return
        if not self._timed:
            pass
        elif self._timer is None:
            self._look_later()
        elif untaken(self._transport) > self._untaken_before:
            self._progressed = True  # or nothing more would have been written
        self._unread.add(self)

    def progress(self) -> None:
        """What was kept is nearly sent: a response in many pieces goes on, however slowly."""
        self._progressed = True
        if not self._timed:
            self._unread.remove(self)

    def only_count(self) -> None:
        """Time the client no longer: somebody else does. What is kept for it counts as before."""
        self.stop()
        self._timed = False

    def stop(self) -> None:
        """The connection is over, or somebody else's."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._unread.remove(self)

    def give_up(self) -> None:
        """Drop the connection with what it keeps."""
        log.info("client does not take its response", bytes=self.size)
        self.stop()
        self._transport.abort()

    def _look_later(self) -> None:
        self._untaken_before, self._progressed = untaken(self._transport), False
        self._timer = asyncio.get_running_loop().call_later(self._unread.seconds, self._look)

    def _look(self) -> None:
        taken = self._untaken_before - untaken(self._transport)
        if not self.size:
            self.stop()
        elif self._progressed or taken >= LEAST_BYTES_PER_SECOND * self._unread.seconds:
            self._look_later()
        else:
            self.give_up()
