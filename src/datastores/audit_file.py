"""The audit log as lines of JSON in a file: a new one each day (UTC), kept for seven days.

Any number of processes write to one file. In each, one thread writes the lines, so that the event loop never waits
for the disk or for another process.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import orjson
import structlog

from datastores.records import AuditRecord, values_of

KEPT_DAYS = 7
"""Files of days before today's."""
WAITING_LINES = 10_000
"""More are dropped, with a line in the process's own log: PostgreSQL has them all."""
_BATCH = 500
_LOOK_SECONDS = 3600.0
"""An idle process lets yesterday's file go, too."""
log = structlog.get_logger(__name__)


class AuditFile:
    """This process's way to the file. `clock` says what day it is."""

    def __init__(self, path: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path = path
        self._clock = clock
        self._lines: queue.Queue[bytes | None] = queue.Queue(WAITING_LINES)
        self._thread: threading.Thread | None = None
        self._complained = False

    def write(self, entry: AuditRecord) -> None:
        """Have one entry written; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="audit-file", daemon=True)
            self._thread.start()
        line = orjson.dumps(_shown(entry), default=str, option=orjson.OPT_APPEND_NEWLINE)
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._complain("audit file cannot keep up: lines are dropped")

    async def aclose(self) -> None:
        """Write what waits, and end the thread. Safe to call twice."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.to_thread(self._end, thread)

    def _end(self, thread: threading.Thread) -> None:
        self._lines.put(None)
        thread.join()

    def _run(self) -> None:
        while True:
            lines = self._waiting()
            ending = None in lines
            try:
                append(self._path, [line for line in lines if line is not None], self._clock().date())
                self._complained = False
            except OSError as error:
                self._complain("audit file cannot be written", error=str(error))
            if ending:
                return

    def _waiting(self) -> list[bytes | None]:
        """What waits, at most a batch; waits for the first line."""
        lines: list[bytes | None] = []
        with suppress(queue.Empty):
            lines.append(self._lines.get(timeout=_LOOK_SECONDS))
            while len(lines) < _BATCH and lines[-1] is not None:
                lines.append(self._lines.get_nowait())
        return lines

    def _complain(self, message: str, **values: object) -> None:
        """Once, until it has worked again."""
        if not self._complained:
            self._complained = True
            log.error(message, path=str(self._path), **values)


def append(path: Path, lines: Sequence[bytes], today: date) -> None:
    """Add whole lines to the file of today, and set the file of an earlier day aside first. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Held by one process at a time; the kernel lets it go when that process ends in any way.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _rotate(path, today)
        if lines:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(file, "ab") as opened:
                opened.write(b"".join(lines))
    finally:
        os.close(lock)


def _rotate(path: Path, today: date) -> None:
    try:
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
    except FileNotFoundError:
        written = today
    if written < today:
        _set_aside(path, path.with_name(f"{path.name}.{written.isoformat()}"))
    for old in path.parent.glob(f"{path.name}.*"):
        try:
            day = date.fromisoformat(old.name.removeprefix(f"{path.name}."))
        except ValueError:
            continue  # not ours
        if day < today - timedelta(days=KEPT_DAYS):
            old.unlink(missing_ok=True)


def _set_aside(path: Path, dated: Path) -> None:
    if not dated.exists():
        path.rename(dated)
        return
    # The clock has been set back over midnight since: one day, two files.
    with path.open("rb") as source, dated.open("ab") as target:
        shutil.copyfileobj(source, target)
    path.unlink()


def _shown(entry: AuditRecord) -> dict[str, object]:
    """The entry with ids as they are in PostgreSQL, and without what is not there."""
    return {name: value for name, value in values_of(entry).items() if value not in (None, [], {})}
