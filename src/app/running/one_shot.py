"""A program that runs once, such as a migration: its progress, its end, and why it failed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from app.embedded.files import open_log
from app.embedded.processes import end, end_session, patient, tail
from app.running.display import Display
from app.running.programs import GRACE, Program, Roster, launch
from core.errors import ConfigurationError

_LINE_LIMIT = 64 * 1024  # bytes; a longer line is no progress report


class OneShot:
    """One run of a program. Its standard output goes to the log too."""

    def __init__(
        self, name: str, program: Program, environment: Mapping[str, str], log: Path, roster: Roster, display: Display
    ) -> None:
        self.name = name
        self.log = log
        self._display = display
        self._roster = roster
        self._rest = b""
        self._output, write_end = os.pipe()
        os.set_blocking(self._output, False)
        try:
            self._process: subprocess.Popen[bytes] = launch(program, environment, log, roster, stdout=write_end)
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(write_end)

    def finished(self) -> bool:
        """Take what it has printed; whether it is done. Raises `ConfigurationError` when it failed."""
        status = self._process.poll()
        self._read()
        if status is None:
            return False
        end_session(self._process.pid)
        self.close()
        if status != 0:
            how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"failed with status {status}"
            raise ConfigurationError(f"The step '{self.name}' {how}. The end of {self.log}:\n{tail(self.log)}")
        return True

    def close(self, hurry: Callable[[], bool] = patient) -> None:
        """End it if it still runs. Harmless when called again."""
        if self._output >= 0:
            end([self._process], (signal.SIGTERM, GRACE / 3), hurry=hurry)
            self._roster.remove(self._process.pid)
            os.close(self._output)
            self._output = -1

    def _read(self) -> None:
        if self._output < 0:
            return
        while True:
            try:
                part = os.read(self._output, 65_536)
            except BlockingIOError:
                return
            if not part:
                return
            with open_log(self.log) as log:
                log.write(part)
            *lines, self._rest = (self._rest + part).split(b"\n")
            self._rest = self._rest[-_LINE_LIMIT:]
            for line in lines:
                self._show(line)

    def _show(self, line: bytes) -> None:
        try:
            report = json.loads(line)
            self._display.progress(str(report["stage"]), int(report["done"]), int(report["total"]))
        except (ValueError, KeyError, TypeError):
            return  # not a report
