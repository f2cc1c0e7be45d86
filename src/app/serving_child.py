"""One process that serves, as the one that started it sees it."""

from __future__ import annotations

import pickle
from contextlib import suppress
from socket import socket

import psutil
import structlog
from uvicorn.config import Config
from uvicorn.supervisors.multiprocess import Process

from app.ending import GRACE_SECONDS, MARGIN_SECONDS

_PING_SECONDS = 0.5
"""Between an answer and the next ping."""
log = structlog.get_logger(__name__)


class _Serving(Process):
    """uvicorn's, with one server: its own makes one when it is first asked for, by whichever of two threads."""

    def target(self, sockets: list[socket] | None = None) -> None:
        assert self.server is not None
        super().target(sockets)


class ServingChild:
    """One process that serves, as its parent sees it. Times are the parent's; nothing here waits."""

    def __init__(self, config: Config, sockets: list[socket], now: float) -> None:
        """Start it. Raises `OSError` when the system has no process or no file left."""
        self._process = _Serving(config, sockets)
        self._process.start()
        self._ping_at = now
        self._pinged_at: float | None = None
        self._answered = False
        self._used_seconds = 0.0
        self.started_at = now
        self.ready = False
        """Whether it has said that it serves."""
        self.leave_by: float | None = None
        """When it is killed, if it is still there; None while it is not to leave."""
        self.killed = False

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs, or is frozen."""
        return self._process.exitcode

    def ping(self, now: float) -> None:
        """Take the answer to the last ping, if it has come, and only then ask again."""
        connection = self._process.parent_conn
        # What cannot be sent or read has no answer, and counts as that.
        with suppress(OSError, EOFError, pickle.UnpicklingError):
            if self._pinged_at is not None and connection.poll():
                was_ready, self.ready = self.ready, connection.recv()
                self._answered = True
                self._pinged_at, self._ping_at = None, now + _PING_SECONDS
                if self.ready and not was_ready:
                    log.info("process ready", pid=self.pid)
            if now >= self._ping_at:
                self._ping_at = now + _PING_SECONDS
                if self._pinged_at is None:
                    self._pinged_at = now
                    connection.send(b"ping")
                elif not self._answered and self._has_worked():
                    self._pinged_at = now

    def silent_for(self, now: float) -> float:
        """Seconds without a sign of life: the answer to a ping, or, before the first one, work.

        Until it has imported everything it cannot answer. Where many processes share few cores that takes its time.
        """
        return 0.0 if self._pinged_at is None else now - self._pinged_at

    def _has_worked(self) -> bool:
        before, self._used_seconds = self._used_seconds, self._cpu_seconds()
        return self._used_seconds > before

    def _cpu_seconds(self) -> float:
        with suppress(psutil.Error):
            times = psutil.Process(self.pid).cpu_times()
            return float(times.user + times.system)
        return 0.0

    def leave(self, now: float) -> None:
        """Tell it to end, within the grace period. It is pinged no more."""
        self._process.terminate()
        self.leave_by = now + GRACE_SECONDS + MARGIN_SECONDS

    def kill(self, now: float) -> None:
        """End it at once, frozen or not."""
        self._process.kill()
        self.leave_by = now
        self.killed = True
