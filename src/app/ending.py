"""The end of a process that was told to end: begun at the signal, and over within the grace period whatever hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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


class Signals:
    """What SIGINT and SIGTERM mean to this process."""

    def __init__(self) -> None:
        self._begin: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._told = False

    def begin_end_by(self, begin: Callable[[], None]) -> None:
        """From now on they call it in the running loop, once, and set the process a time to end."""
        self._begin = begin

    def _handle(self, number: int, frame: FrameType | None, before: object) -> None:
        if self._begin is None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if not self._told:
            self._told = True
            end_by_force_after(GRACE_SECONDS + MARGIN_SECONDS)
            self._loop.call_soon_threadsafe(self._begin)
        if callable(before):
            before(number, frame)

    @contextmanager
    def _heard(self, number: signal.Signals) -> Iterator[None]:
        before = signal.getsignal(number)

        def handle(number: int, frame: FrameType | None) -> None:
            self._handle(number, frame, before)

        signal.signal(number, handle)
        try:
            yield
        finally:
            if signal.getsignal(number) is handle:
                signal.signal(number, before)


@contextmanager
def told_at_signals() -> Iterator[Signals]:
    """Inside the block, SIGINT and SIGTERM end the process in order, once it has said how: `Signals.begin_end_by`.

    Until then they end it at once. It has nothing to give up, and what it waits for may never answer. Whoever handled
    them before does so still from then on. Nothing outside of the main thread, where no handler can be set.
    """
    signals = Signals()
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                stack.enter_context(signals._heard(number))
        yield signals
