"""A time limit on what others take, not on what this process's own loop takes."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

_TICKS: Final = 4


class others_within:
    """Inside the block, raises TimeoutError after so many seconds in which the loop has looked around.

    The limit is counted in quarters, and a quarter that the loop comes to late counts no more than another: an answer
    that has been here for long, in a buffer that a busy loop has not got round to, is not taken for one that does not
    come. In an idle process it is `asyncio.timeout`.
    """

    __slots__ = ("_left", "_loop", "_scope", "_tick", "_timer")

    def __init__(self, seconds: float) -> None:
        self._tick, self._left = seconds / _TICKS, _TICKS
        self._scope = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._tick, self._look)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._scope.__aexit__(kind, error, traceback)

    def _look(self) -> None:
        self._left -= 1
        if self._left:
            self._timer = self._loop.call_later(self._tick, self._look)
        else:
            self._scope.reschedule(self._loop.time())
