"""The loop's other work goes on while something large is done in small steps."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

STRETCH_SECONDS: Final = 0.02
"""CPU time between two rests."""
REST_SECONDS: Final = 0.005
"""Other work comes round many times meanwhile: one event of a stream takes a dozen turns of the loop."""


class Turns:
    """Rests that all large work of one loop takes together, the first before it begins.

    A stretch is measured by CPU time, of whatever the loop does: on a busy machine work would else be divided into more
    parts than its size calls for.
    """

    def __init__(self) -> None:
        self._until = float("-inf")
        self._rest: asyncio.Event | None = None

    async def wait(self) -> None:
        """Before a step: go on at once, or after the rest that is due."""
        while self._rest is not None or time.thread_time() > self._until:
            if self._rest is None:
                self._rest = asyncio.Event()
                asyncio.get_running_loop().call_later(REST_SECONDS, self._go_on, self._rest)
            await self._rest.wait()

    def _go_on(self, rest: asyncio.Event) -> None:
        self._rest = None
        self._until = time.thread_time() + STRETCH_SECONDS
        rest.set()


class Gate:
    """Work that cannot be divided begins one piece after another, however much of it has come at once: in between the
    loop comes round so often that others' small steps are done."""

    ROUNDS: Final = 12
    """One event of a stream takes a dozen turns of the loop."""

    def __init__(self) -> None:
        self._shut = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Before a piece: go on at once, or when it is this one's turn."""
        loop = asyncio.get_running_loop()
        if self._shut:
            self._waiting.append(turn := loop.create_future())
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # it was this one's turn
                    self._come_round(loop, 0)
                raise
        self._shut = True
        loop.call_soon(self._come_round, loop, self.ROUNDS)

    def _come_round(self, loop: asyncio.AbstractEventLoop, left: int) -> None:
        if left:
            loop.call_soon(self._come_round, loop, left - 1)
            return
        while self._waiting:
            if not (turn := self._waiting.popleft()).done():
                turn.set_result(None)  # shut as it is, for this one
                return
        self._shut = False
