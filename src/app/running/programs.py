"""The product's own processes under the supervisor: what they are, and one running instance of each."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from cryptography.fernet import Fernet

from app.embedded.files import open_log, read_record, write_record
from app.embedded.processes import end, end_left_behind, end_session, nothing, patient, spawn
from core.settings import Settings
from datastores.files import write_private

GRACE = 15.0  # seconds that the API and the worker get to let running answers finish or hand them over


@dataclass(frozen=True)
class Program:
    """A command line; `as_owner` gives it DATABASE_OWNER_URL, which nothing that serves clients may see."""

    argv: tuple[str, ...]
    as_owner: bool = False


def _command(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "app.cli", name)


@dataclass(frozen=True)
class Programs:
    """What a run starts: `migrate` first, then all of `services` for as long as the run lasts, `seed` beside them.

    Each line that `migrate` or `seed` prints on standard output may be a JSON object
    `{"stage": "handbook.pdf", "done": 2, "total": 3}`, which is shown as progress. `seed` writes DATA_DIR/demo.json,
    `{"logins": [{"role": "BUSINESS", "email": …, "password": …}, …]}`, which is shown when all is ready.
    """

    migrate: Program | None = Program(_command("migrate"), as_owner=True)
    seed: Program | None = Program(_command("seed"), as_owner=True)
    services: Mapping[str, Program] = field(
        default_factory=lambda: {"api": Program(_command("serve")), "worker": Program(_command("work"))}
    )


class Roster:
    """DATA_DIR/children.json: who runs, for the next run to find if this one is killed.

    On Linux the kernel ends them with us; elsewhere, and while they take their grace period, this does. A process is
    told by its number and its start time together, so that a recycled number ends nobody else's program.
    """

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / "children.json"
        self._alive: dict[str, float] = {}

    def end_left_behind(self) -> int:
        """End what a killed run left. Returns how many there were."""
        left = []
        for number, started in read_record(self._file).items():
            try:
                process = psutil.Process(int(number))
                if process.create_time() == started:
                    left.append(process)
            except (psutil.NoSuchProcess, ValueError):
                continue
        # They have had their signal from the kernel, or have been without a supervisor for long.
        end_left_behind(left, (signal.SIGTERM, GRACE / 3))
        self._file.unlink(missing_ok=True)
        return len(left)

    def add(self, pid: int) -> None:
        """Note a child that has just been started."""
        try:
            self._alive[str(pid)] = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return
        write_record(self._file, self._alive)

    def remove(self, pid: int) -> None:
        """Forget a child that has ended."""
        if self._alive.pop(str(pid), None) is not None:
            write_record(self._file, self._alive)


class Service:
    """A long-running program: start, poll, stop, and start again. Has the embedded servers' shape."""

    def __init__(self, program: Program, environment: Callable[[], dict[str, str]], log: Path, roster: Roster) -> None:
        self._program = program
        self._environment = environment
        self.log = log
        self._roster = roster
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, checkpoint: Callable[[], None] = nothing) -> None:
        """Start the process and return at once. Raises `OSError` when the program cannot be run."""
        if self._process is None or self.poll() is not None:
            self._process = launch(self._program, self._environment(), self.log, self._roster)

    def poll(self) -> int | None:
        """The exit status if it ended by itself; None while it runs or was never started."""
        if self._process is None:
            return None
        known = self._process.returncode
        status = self._process.poll()
        if known is None and status is not None:
            end_session(self._process.pid)
            self._roster.remove(self._process.pid)
        return status

    def stop(self, hurry: Callable[[], bool] = patient) -> None:
        """SIGTERM, up to `GRACE` seconds, then SIGKILL. Harmless when not running."""
        stop_together([self], hurry)

    def release(self) -> subprocess.Popen[bytes] | None:
        """Hand over the process, running or not, for the caller to end."""
        process, self._process = self._process, None
        if process is not None:
            self._roster.remove(process.pid)
        return process


def stop_together(services: Iterable[Service], hurry: Callable[[], bool]) -> None:
    """Stop several services within one grace period: SIGTERM to all, then wait, then SIGKILL."""
    processes = [process for service in services if (process := service.release()) is not None]
    end(processes, (signal.SIGTERM, GRACE), hurry=hurry)


def launch(
    program: Program, environment: Mapping[str, str], log: Path, roster: Roster, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a program with its output going to the log (or standard output to a descriptor)."""
    with open_log(log) as file:
        process = spawn(program.argv, log=file, stdout=stdout, env=environment)
    roster.add(process.pid)
    return process


def child_environment(values: Mapping[str, str | None], remove: Sequence[str] = ()) -> dict[str, str]:
    """Ours with these values, without those that are None or named in `remove`."""
    merged: dict[str, str | None] = {**os.environ, **values, "PYTHONUNBUFFERED": "1"}
    return {name: value for name, value in merged.items() if value is not None and name not in remove}


def encryption_keys(settings: Settings, data_dir: Path) -> str:
    """ENCRYPTION_KEYS, or one that is made once and kept: what it has sealed must be opened after a restart."""
    if settings.encryption_keys is not None:
        return settings.encryption_keys.get_secret_value()
    path = data_dir / "encryption_keys"
    if not path.exists():
        write_private(path, Fernet.generate_key())
    return path.read_text(encoding="utf-8").strip()


def secret_key(settings: Settings, data_dir: Path) -> str:
    """SECRET_KEY, or one that is made once and kept: tokens and links must survive a restart."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    path = data_dir / "secret_key"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(48).encode())
    return path.read_text(encoding="utf-8").strip()
