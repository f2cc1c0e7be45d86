"""A supervisor in a child process, seen as a person sees it: what it prints, what it leaves behind."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from waiting import until

_SCRIPT = Path(__file__).with_name("stand_in_product.py")
_SOURCES = Path(__file__).parents[2] / "src"
_PATIENCE = 15.0  # seconds; every wait ends at an event, this only bounds a failure


class RunningProduct:
    """Started at once; `port` is free when it starts unless a test says otherwise."""

    def __init__(self, data_dir: Path, port: int | None = None, **environment: str) -> None:
        self.data_dir = data_dir
        self.port = port or a_free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "REDIS_"))}
        settings = {"DATA_DIR": str(data_dir), "PORT": str(self.port), "PYTHONPATH": str(_SOURCES)}
        self._process = subprocess.Popen(
            [sys.executable, str(_SCRIPT), "run"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean | settings | environment,
            start_new_session=True,
        )
        self.text = ""

    def until(self, words: str, patience: float = _PATIENCE) -> str:
        """Read what it prints until the words appear; fails when it ends or `patience` seconds pass first."""
        deadline = time.monotonic() + patience
        while words not in self.text:
            assert self._read(deadline), f"ended without {words!r}:\n{self.text}"
        return self.text

    def ended(self, patience: float = _PATIENCE) -> int:
        """Read to the end; its exit status."""
        deadline = time.monotonic() + patience
        while self._read(deadline):
            pass
        return self._process.wait(patience)

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """`kill -9` of the supervisor alone."""
        self._process.kill()
        self._process.wait()

    def record(self, name: str) -> dict[str, Any]:
        """The environment and pid that a stand-in program noted last, once it has."""
        path = self.data_dir / f"{name}-environment.json"
        until(path.exists)
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def processes(self) -> list[psutil.Process]:
        """Every process of this run but the supervisor, found by its environment or its working directory."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("DATA_DIR") == str(self.data_dir)
                mine = mine or self.data_dir in Path(process.cwd()).parents
            except (psutil.Error, OSError):
                continue
            if mine and process.pid != self._process.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def server(self, name: str) -> psutil.Process | None:
        """The supervisor's own child of that name: of PostgreSQL's processes, the postmaster."""
        children = psutil.Process(self._process.pid).children()
        return next((one for one in children if one.name() == name and one.status() != psutil.STATUS_ZOMBIE), None)

    def close(self) -> None:
        """Leave nothing, whatever the test did."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.send_signal(signal.SIGTERM)
            try:
                self.ended(5.0)
            except (AssertionError, subprocess.TimeoutExpired):
                self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _read(self, deadline: float) -> bool:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing more within the time allowed, after:\n{self.text}"
        part = os.read(self._process.stdout.fileno(), 65_536)
        self.text += part.decode()
        return bool(part)


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
