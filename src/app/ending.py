"""The end of a process that was told to end: begun at the signal, and over within the grace period whatever hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog

GRACE_SECONDS = 5
"""For connections to close, and running answers to finish or to be handed over, side by side."""
MARGIN_SECONDS = 2.0
"""Beyond that, for pools to close. Then the process is ended by force: what it has not stored by now hangs in a server
that does not answer, which rolls it back, and another process takes it over."""
FORCED_STATUS = 70
"""Exit status of an end by force (EX_SOFTWARE of sysexits.h)."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
log = structlog.get_logger(__name__)


def end_by_force_after(seconds: float) -> None:
    """End the process after so many seconds, unless it has ended before. A thread does it: the event loop may hang."""
    timer = threading.Timer(seconds, _end_by_force)
    timer.daemon = True
    timer.start()


def _end_by_force() -> None:
    log.error("ended by force: something did not answer for the whole grace period")
    sys.stdout.flush()
    os._exit(FORCED_STATUS)


@contextmanager
def told_at_signals(begin: Callable[[], None]) -> Iterator[None]:
    """Inside the block, SIGINT and SIGTERM call `begin` in the running loop, once, and set the process a time to end.

    Whoever handled them before does so still. Nothing outside of the main thread, where no handler can be set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    told = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            end_by_force_after(GRACE_SECONDS + MARGIN_SECONDS)
            loop.call_soon_threadsafe(begin)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)
