"""The API in processes of its own: their CPU time can be told from that of the tests, and they can be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import psutil
from pydantic import SecretStr

from app.embedded.processes import spawn
from core.settings import Settings

_START_SECONDS = 60.0
"""Two to five on a quiet machine."""


class ApiProcess:
    """One `colloquy serve`; what it says goes to a file."""

    def __init__(self, settings: Settings, process: subprocess.Popen[bytes], log: Path) -> None:
        self.url = f"http://127.0.0.1:{settings.port}"
        self._process = process
        self._log = log
        self._read = 0

    @classmethod
    async def start(cls, settings: Settings, log: Path, *options: str) -> ApiProcess:
        """Start it with these settings, whose port must be free, and wait until it serves."""
        argv = (sys.executable, "-m", "app.cli", "serve", *options)
        with log.open("wb") as output:
            process = spawn(argv, log=output, env=environment(settings), death_signal=signal.SIGKILL)
        api = cls(settings, process, log)
        try:
            async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession() as http:
                while not await api._serves(http):  # noqa: ASYNC110 - another process: there is nothing to wait on
                    await asyncio.sleep(0.05)
        except BaseException:
            api.stop()
            raise
        return api

    async def _serves(self, http: aiohttp.ClientSession) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            async with http.get(f"{self.url}/healthz") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False

    def cpu_seconds(self) -> float:
        """CPU time of the process, its ended threads included; in nanosecond steps on Linux, else about 10 ms."""
        pid = self._process.pid
        if sys.platform == "linux":
            # What clock_getcpuclockid(3) gives for a process: Python has it for threads alone.
            return time.clock_gettime((~pid << 3) | 2)
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system

    def said(self) -> str:
        """What it has written since this was last asked."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        self._read += len(text)
        return text.decode()

    @property
    def serving(self) -> list[psutil.Process]:
        """The processes of `serve --processes`, but for the one that started them."""
        children = psutil.Process(self._process.pid).children()
        return [child for child in children if "multiprocessing.spawn" in " ".join(_command_line(child))]

    def send(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def ended(self, seconds: float) -> int:
        """Its exit status. Raises `TimeoutError` when it takes longer than that to end."""
        async with asyncio.timeout(seconds):
            while (status := self._process.poll()) is None:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        return status

    def stop(self) -> None:
        """End it at once, whatever a test has left open."""
        self._process.kill()
        self._process.wait()


def environment(settings: Settings) -> dict[str, str]:
    """Of a process with these settings and no others."""
    clean = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return clean | {name.upper(): _as_variable(getattr(settings, name)) for name in settings.model_fields_set}


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # it has just ended


def _as_variable(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
