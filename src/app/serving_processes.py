"""Several processes that serve on one socket, and the one that started them, which never waits for any of them.

uvicorn's own parent (`uvicorn.supervisors.Multiprocess`) waits for the answer to a ping, for a replacement and for an
end, one after another; while it does, it hears no signal and replaces nobody. Its children are used as they are.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Iterable
from socket import socket
from types import FrameType

import structlog
from uvicorn.config import STARTUP_FAILURE, Config

from app.ending import FORCED_STATUS, GRACE_SECONDS, MARGIN_SECONDS, end_by_force_after
from app.serving_child import ServingChild

_LOOK_SECONDS = 0.1
"""Between two looks at everything: signals, pings, ends."""
_RETRY_SECONDS = 1.0
"""Until the next try where the system gives no process."""
_LAST_SECONDS = 1.0
"""For what was killed to be gone, and for the parent itself."""
_STANDSTILL_SECONDS = 1.0
"""A longer pause between two looks was one of the whole machine or container: nobody could answer meanwhile."""
_SIGNALS = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU),
    # These mean nothing here, and must not end everything.
    *(signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2),
)
log = structlog.get_logger(__name__)


class ServingProcesses:
    """As many processes as `config.workers` says, each a server of `config` on these sockets, until a signal says stop.

    - One that has died is replaced at once, and one that leaves a ping unanswered for
      `config.timeout_worker_healthcheck` seconds is killed and replaced; while it starts, one that does nothing for so
      long. One that cannot start (`STARTUP_FAILURE`)
      ends all before any has served: the next could not either. Later it is tried again, every second.
    - SIGHUP replaces all, one after another, each by one that is ready before; if that is not ready within the same
      time, the old ones stay. Another SIGHUP meanwhile is followed by another round.
    - SIGTTIN adds a process, SIGTTOU takes one away, but not the last.
    - SIGTERM and SIGINT end all, at any moment, within the grace period. Who is left then is killed, as is one that is
      replaced or taken away.
    """

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        self._config = config
        self._sockets = sockets
        self._limit = float(config.timeout_worker_healthcheck)
        self._wanted = config.workers
        self._serving: list[ServingChild] = []
        self._leaving: list[ServingChild] = []
        self._to_replace: deque[ServingChild] = deque()
        self._successor: ServingChild | None = None  # of the first of them
        self._round_due = False
        self._signals: deque[int] = deque()
        self._stopping = False
        self._failed = False
        self._served = False
        """Whether any has ever been ready."""
        self._forced = False
        self._clock = time.monotonic()
        self._now = 0.0
        self._start_at = 0.0

    def run(self) -> int:
        """Until all have ended; the exit status. Call it once, from the main thread, whose signals it takes.

        0 after a signal, 1 when a process could not start, `FORCED_STATUS` when one did not end within its time.
        """
        for number in _SIGNALS:
            signal.signal(number, self._hear)
        try:
            while not (self._stopping or self._failed):
                self._look()
                self._pause()
                self._obey()
        finally:
            self._end()
        if self._failed:
            return 1
        return FORCED_STATUS if self._forced else 0

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _obey(self) -> None:
        while self._signals:
            number = self._signals.popleft()
            if number in (signal.SIGINT, signal.SIGTERM):
                self._stopping = True
            elif number == signal.SIGHUP:
                self._round_due = True
            elif number == signal.SIGTTIN:
                self._wanted += 1
            elif number == signal.SIGTTOU and self._wanted > 1:
                self._wanted -= 1

    def _pause(self) -> None:
        time.sleep(_LOOK_SECONDS)  # this process has no event loop, and nothing else to do until then
        before, self._clock = self._clock, time.monotonic()
        self._now += min(self._clock - before, _STANDSTILL_SECONDS)

    def _look(self) -> None:
        """Everything that can be done now, without waiting for anybody."""
        successor = () if self._successor is None else (self._successor,)
        for child in (*self._serving, *successor):
            child.ping(self._now)
            self._served = self._served or child.ready
        self._see_off()
        self._drop_the_dead()
        self._see_to_the_successor()
        self._go_on_replacing()
        self._be_as_many_as_wanted()

    def _see_off(self) -> None:
        """Those that were told to leave: whoever has left, and whoever has had its time."""
        for child in tuple(self._leaving):
            if child.status is not None:
                self._leaving.remove(child)
                if self._stopping and child.status in (-signal.SIGKILL, FORCED_STATUS):
                    self._forced = True
            elif not child.killed and child.leave_by is not None and self._now >= child.leave_by:
                log.error("process killed: it did not end within its grace period", pid=child.pid)
                child.kill(self._now)

    def _drop_the_dead(self) -> None:
        for child in tuple(self._serving):
            status = child.status
            if status is None and child.silent_for(self._now) < self._limit:
                continue
            self._serving.remove(child)
            if status is None:
                log.error("process killed: it gave no sign of life", pid=child.pid, seconds=self._limit)
                child.kill(self._now)
                self._leaving.append(child)
            elif status == STARTUP_FAILURE:
                log.error("process could not start", pid=child.pid)
                # Where one has served, what is missing may be back in a moment, such as the database.
                self._failed = not self._served
                self._start_at = self._now + _RETRY_SECONDS
            else:
                log.error("process died", pid=child.pid, status=status)

    def _see_to_the_successor(self) -> None:
        """Have it take its place when it is ready, or at once when its place is empty."""
        new = self._successor
        if new is None:
            return
        old = self._to_replace[0]
        running = new.status is None
        if old not in self._serving:
            # It died, and is replaced by whoever comes first; or it was taken away.
            self._settle()
            if len(self._serving) < self._wanted:
                self._serving.append(new)
            else:
                self._tell_to_leave([new])
        elif running and new.ready:
            self._settle()
            self._serving[self._serving.index(old)] = new
            self._tell_to_leave([old])
        elif not running or self._now - new.started_at >= self._limit:
            self._settle()
            log.error("new process was not ready in time: the old ones stay", pid=new.pid, status=new.status)
            self._to_replace.clear()
            new.kill(self._now)
            self._leaving.append(new)

    def _settle(self) -> None:
        self._successor = None
        self._to_replace.popleft()

    def _go_on_replacing(self) -> None:
        """Start the next successor, once the one that was replaced last has left: one more than usual at a time."""
        if self._successor is not None or any(not child.killed for child in self._leaving):
            return
        while self._to_replace and self._to_replace[0] not in self._serving:
            self._to_replace.popleft()
        if not self._to_replace and self._round_due:
            self._round_due = False
            self._to_replace.extend(self._serving)
        if self._to_replace:
            self._successor = self._start()

    def _be_as_many_as_wanted(self) -> None:
        while len(self._serving) > self._wanted:
            self._tell_to_leave([self._serving.pop()])
        while not self._failed and len(self._serving) < self._wanted:
            child = self._start()
            if child is None:
                return
            self._serving.append(child)

    def _start(self) -> ServingChild | None:
        """A new process; None where the system gives none for now."""
        if self._now < self._start_at:
            return None
        try:
            return ServingChild(self._config, self._sockets, self._now)
        except OSError as error:
            log.error("process not started: the system gives none", error=str(error))
            self._start_at = self._now + _RETRY_SECONDS
            return None

    def _tell_to_leave(self, children: Iterable[ServingChild]) -> None:
        for child in children:
            child.leave(self._now)
            self._leaving.append(child)

    def _end(self) -> None:
        """All leave; what is left at the end of its time is killed. Not even what cannot be killed is waited for."""
        end_by_force_after(GRACE_SECONDS + MARGIN_SECONDS + _LAST_SECONDS)
        self._stopping = True
        if self._successor is not None:
            self._serving.append(self._successor)
            self._successor = None
        self._tell_to_leave(self._serving)
        self._serving.clear()
        while self._leaving:
            self._see_off()
            self._pause()
