"""Make .venv hold exactly what a lock file names, and this project itself. Standard library alone.

    scripts/bootstrap requirements.lock        what `make run` needs
    scripts/bootstrap requirements-dev.lock    that and the tools for `make test`

A stamp named after the hash of what was installed makes later calls quick. An installation that was killed leaves a
marker, and the next call starts from nothing: pip itself would take a package of which half the files are there for
installed. Two calls at once wait for each other.
"""

# ruff: noqa: S603  (it runs pip)
from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
MARKER = VENV / ".installing"
DEV_LOCK = "requirements-dev.lock"  # includes all of requirements.lock
LATEST = 8  # of pip's lines shown when it fails


def main() -> int:
    """0 when .venv is as the lock file has it; 1 with one clear reason otherwise."""
    if len(sys.argv) != 2 or not (ROOT / sys.argv[1]).is_file():
        return fail("usage: scripts/bootstrap requirements.lock | requirements-dev.lock")
    lock = sys.argv[1]
    if is_current(lock):
        return 0
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with (cache / "bootstrap.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        return 0 if is_current(lock) else install(lock)


def stamp(lock: str) -> Path:
    """Where a finished installation is noted; its name changes with the lock file and with pyproject.toml."""
    digest = hashlib.sha256((ROOT / lock).read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()[:16]
    kind = "dev" if lock == DEV_LOCK else "run"
    return VENV / f".installed-{kind}-{digest}"


def is_current(lock: str) -> bool:
    """Whether this lock, or the larger one that includes it, is installed and the Python it is for still there."""
    return PYTHON.exists() and not MARKER.exists() and (stamp(lock).exists() or stamp(DEV_LOCK).exists())


def install(lock: str) -> int:
    began = time.monotonic()
    if VENV.exists() and (MARKER.exists() or not works()):
        say("The last installation was interrupted; starting it again.")
        shutil.rmtree(VENV)
    if not VENV.exists():
        say("Making .venv …")
        made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True)
        if made.returncode != 0:
            shutil.rmtree(VENV, ignore_errors=True)
            reason = (made.stdout + made.stderr).strip().splitlines()[:1]
            return fail(f"{sys.executable} -m venv failed: {' '.join(reason)} (Debian: apt install python3.11-venv)")
    MARKER.touch()
    for old in VENV.glob(".installed-*"):
        old.unlink()
    names = re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", (ROOT / lock).read_text(), re.MULTILINE)
    if pip(["--require-hashes", "-r", lock], len(names)) != 0 or pip(["--no-build-isolation", "-e", "."], 0) != 0:
        return 1
    MARKER.unlink()
    stamp(lock).touch()
    say(f"Installed {len(names)} packages from {lock} in {time.monotonic() - began:.0f} s.")
    return 0


def works() -> bool:
    """Whether .venv has a Python that runs and a pip."""
    try:
        return subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def pip(arguments: list[str], total: int) -> int:
    """`pip install` without dependencies (the lock names them all), with its progress as "12 of 101"."""
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    command = [str(PYTHON), "-m", "pip", "install", "--no-deps", "--progress-bar", "off", *arguments]
    seen: list[str] = []
    done = 0
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            seen.append(line.rstrip())
            if found := re.match(r"(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)", line):
                done += 1
                progress(f"Fetching {done} of {total}: {found[1]}" if total else f"Preparing {found[1]}", done)
            elif line.startswith("Installing collected packages"):
                progress("Installing …" if total else "", 0)
    if sys.stdout.isatty():
        sys.stdout.write("\r\x1b[K")
    if process.returncode != 0:
        return fail("pip install failed:\n  " + "\n  ".join(seen[-LATEST:]))
    return 0


def progress(text: str, number: int) -> None:
    """On a terminal one line that changes; elsewhere a line now and then."""
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\x1b[K{text}"[: shutil.get_terminal_size().columns + 3])
        sys.stdout.flush()
    elif text and number % 20 == 0:
        say(text)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fail(text: str) -> int:
    sys.stderr.write(text + "\n")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(fail("\nInterrupted. The next run starts the installation again."))
