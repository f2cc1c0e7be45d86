"""Child processes that end with their parent, and the search for those that an earlier, killed run left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypedDict

import psutil

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_GLANCE = 0.05  # seconds between two looks at `hurry`
# Loaded before any fork: the child may only call what is already there.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Account:
    """The system account that a child runs as."""

    name: str
    uid: int
    gid: int


def spawn(
    argv: Sequence[str | Path],
    *,
    log: BinaryIO | int,
    stdout: BinaryIO | int | None = None,
    stdin: BinaryIO | int = subprocess.DEVNULL,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
    death_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, so that the terminal's Ctrl-C reaches only us.

    `death_signal` is what the kernel sends the child when the *thread* that called this ends (Linux), so call it from
    a thread that lives as long as the run. `cwd` is entered before the account changes. Raises `OSError`.
    """
    credentials = account_arguments(account)
    return subprocess.Popen(  # noqa: S603 - the callers' fixed programs
        [str(part) for part in argv],
        stdin=stdin,
        stdout=log if stdout is None else stdout,
        stderr=log,
        cwd=cwd,
        env=None if env is None else dict(env),
        start_new_session=True,
        preexec_fn=_bind_to_parent(death_signal),
        **credentials,
    )


class Credentials(TypedDict, total=False):
    """`subprocess`'s arguments for another account."""

    user: int
    group: int
    extra_groups: list[int]


def account_arguments(account: Account | None) -> Credentials:
    """`subprocess` arguments that run a child as the account; empty for our own."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def end_with_parent(parent: int, death_signal: int = signal.SIGTERM) -> None:
    """From within a child: have the kernel send this when the parent ends (Linux; elsewhere nothing happens).

    A parent that has ended by now is not told of any more: then the child ends here.
    """
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _bind_to_parent(death_signal: int) -> Callable[[], None] | None:
    if _libc is None:
        return None
    # Called after the account has changed: a change of credentials clears the death signal.
    return partial(end_with_parent, os.getpid(), death_signal)


def patient() -> bool:
    """For `hurry`: take the time that an orderly end needs."""
    return False


def at_once() -> bool:
    """For `hurry`: go to the last resort without waiting."""
    return True


def nothing() -> None:
    """For `checkpoint`: never interrupt."""


def end(
    processes: Sequence[subprocess.Popen[bytes]], *steps: tuple[int, float], hurry: Callable[[], bool] = patient
) -> None:
    """Send each (signal, seconds to wait) in turn until all children have ended, at last SIGKILL to their sessions.

    When `hurry()` becomes true, waiting is cut short. Safe to call twice and on children that are gone; each is
    waited for, so that none stays as a zombie.
    """
    # Not for those that were already known to have ended: their number may belong to another program by now.
    ours = [process for process in processes if process.returncode is None]
    for number, patience in steps:
        running = [process for process in ours if process.poll() is None]
        for process in running:
            process.send_signal(number)
        deadline = time.monotonic() + patience
        for process in running:
            while process.poll() is None and not hurry() and time.monotonic() < deadline:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_GLANCE)
    for process in ours:
        end_session(process.pid)
        process.wait()


def end_session(session: int) -> None:
    """SIGKILL to what is left of a child's session. Call it as soon as the child has ended, not later."""
    try:
        os.killpg(session, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nothing of it is left (macOS says EPERM for a group of zombies)


def left_behind(program: str, folder: Path) -> list[psutil.Process]:
    """Processes of that program whose working directory is the folder or inside it: ours, whatever their pid file says.

    A recycled pid cannot be taken for ours, because name and folder are both compared.
    """
    found = []
    place = folder.resolve()
    for process in psutil.process_iter(["name"]):
        name = process.info["name"] or ""
        if not name.startswith(program):
            continue
        try:
            where = Path(process.cwd())
        except (psutil.Error, OSError):
            continue
        if where == place or place in where.parents:
            found.append(process)
    return found


def end_left_behind(processes: Iterable[psutil.Process], *steps: tuple[int, float]) -> None:
    """End processes that are not our children, with (signal, seconds) steps as `end` has them.

    Raises `psutil.AccessDenied` for another user's.
    """
    remaining = list(processes)
    for number, patience in (*steps, (signal.SIGKILL, 5.0)):
        for process in remaining:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        _, remaining = psutil.wait_procs(remaining, timeout=patience)
        if not remaining:
            return


def tail(path: Path, lines: int = 15, window: int = 16_384) -> str:
    """The last lines of a log, from at most the last `window` bytes; empty when there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - window))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
