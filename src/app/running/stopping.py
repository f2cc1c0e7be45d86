"""Signals that end a run, and waiting that ends when one arrives or a child dies."""

from __future__ import annotations

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Any


class StopRequested(Exception):
    """The person asked the run to end."""


class StopSignals:
    """A `with` block in the main thread in which Ctrl-C, SIGTERM and SIGHUP are noted and raise nothing by themselves.

    A signal that raised wherever it happens to arrive could do so between a child's start and the line that remembers
    it. Here the run ends at points of its own choosing: `checkpoint` and `wait`.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before_ending = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._previous_wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                self._previous[number] = signal.signal(number, self._note)
        # A handler, even one that does nothing, is what makes a child's end write to the wake-up socket.
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _nothing)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._previous_wakeup)
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        self._read.close()
        self._write.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received += 1

    def checkpoint(self) -> None:
        """Raises `StopRequested` once a stop signal has arrived."""
        if self.received:
            raise StopRequested

    def begin_ending(self) -> None:
        """From here on one more signal means: hurry."""
        self._before_ending = self.received

    def hastened(self) -> bool:
        """Whether the person asked again while the run was already ending."""
        return self.received > self._before_ending

    def wait(self, timeout: float) -> None:
        """Return after `timeout` seconds, or sooner at a signal or a child's end.

        Raises `StopRequested` once a stop signal has arrived.
        """
        self.checkpoint()
        ready, _, _ = select.select([self._read], [], [], max(0.0, timeout))
        if ready:
            while True:
                try:
                    self._read.recv(4096)
                except BlockingIOError:
                    break
        self.checkpoint()


def _nothing(number: int, frame: FrameType | None) -> None:
    return
