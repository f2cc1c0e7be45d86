"""A bound on each wait for a model, at the cost of one assignment a token.

`asyncio.timeout` around each token costs several microseconds: a timer made and cancelled ten thousand times a second.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Patience:
    """Inside the block nothing may stay unheard for longer than so many seconds. Raises TimeoutError where it does."""

    __slots__ = ("_heard_at", "_loop", "_scope", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._scope = asyncio.timeout(None)
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def heard(self) -> None:
        """The other side gave a sign of life: the wait begins anew."""
        self._heard_at = self._loop.time()

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self.heard()
        self._timer = self._loop.call_later(self._seconds, self._look)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._scope.__aexit__(kind, error, traceback)

    def _look(self) -> None:
        now = self._loop.time()
        if now - self._heard_at >= self._seconds:
            self._scope.reschedule(now)
        else:
            self._timer = self._loop.call_at(self._heard_at + self._seconds, self._look)
