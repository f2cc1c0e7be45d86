"""How long a token may wait for the next ones: not at all in an idle process, up to 40 ms in a busy one.

Each append costs the same whether it carries one token or ten, here, in Redis and at every viewer. A process that
keeps up sends each token at once; one that does not gains more by merging than its viewers lose by 40 ms.

How busy the process is, is measured while tokens flow, and not otherwise: every 50 ms, the larger of the share of one
processor that the event loop's thread has used, and the share of the time that a timer came too late.
"""

from __future__ import annotations

import asyncio
import math
import time

from core.settings import Settings

SAMPLE_SECONDS = 0.05
_FORGOTTEN_SECONDS = 1.0
"""After so long without a token, what was measured before it says nothing any more."""
_NEWEST_WEIGHT = 0.3
_TURNS = 4
"""Waits end together, at this many moments in the longest wait: what ends together goes to Redis together."""


class Pace:
    """One per process."""

    def __init__(self, settings: Settings) -> None:
        self._longest = settings.merge_longest_ms / 1000
        self._from, self._full = settings.merge_from_load, max(settings.merge_full_load, settings.merge_from_load)
        self.load = 0.0
        """Of the event loop, 0 idle to 1 overloaded."""
        self._sampling: tuple[float, float] | None = None
        """When the running sample was begun, and the thread's processor time then."""
        self._sampled_at = -math.inf
        self._turns: dict[float, list[asyncio.Future[None]]] = {}

    def wait(self) -> asyncio.Future[None] | None:
        """What to wait for before a token goes out, bounded by the setting; None: nothing. It may be ended early."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._sample(loop, now)
        seconds = self._seconds()
        step = self._longest / _TURNS
        if not step or seconds < step:
            return None
        turn = math.floor((now + seconds) / step) * step
        if turn <= now:
            return None
        waiting = loop.create_future()
        others = self._turns.get(turn)
        if others is None:
            others = self._turns[turn] = []
            loop.call_at(turn, self._take_turn, turn)
        others.append(waiting)
        return waiting

    def _seconds(self) -> float:
        if self.load >= self._full:
            return self._longest
        if self.load <= self._from:
            return 0.0
        return self._longest * (self.load - self._from) / (self._full - self._from)

    def _take_turn(self, turn: float) -> None:
        for waiting in self._turns.pop(turn):
            if not waiting.done():
                waiting.set_result(None)

    def _sample(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        if self._sampling is None:
            if now - self._sampled_at > _FORGOTTEN_SECONDS:
                self.load = 0.0
            self._sampling = (now, time.thread_time())
            loop.call_later(SAMPLE_SECONDS, self._end_sample, loop)

    def _end_sample(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self._sampling is not None
        began, used = self._sampling
        self._sampling = None
        self._sampled_at = loop.time()
        elapsed = self._sampled_at - began
        late = elapsed - SAMPLE_SECONDS
        newest = max(time.thread_time() - used, late) / elapsed
        self.load += _NEWEST_WEIGHT * (min(newest, 1.0) - self.load)
