"""PostgreSQL 18 with pgvector as a child process, its cluster in `DATA_DIR/postgres`.

No password of the superuser exists: roles, database and extension are made in single-user mode before the cluster
first listens, and pg_hba.conf refuses the superuser afterwards. Clients come over 127.0.0.1 with scram passwords.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import psutil

from app.embedded.account import account_for_postgres, installation
from app.embedded.cluster import ClusterTools, environment
from app.embedded.files import make_folder, open_log, read_record, write_record
from app.embedded.ports import LOOPBACK, free_port
from app.embedded.processes import at_once, end, end_left_behind, left_behind, nothing, patient, spawn, tail
from core.errors import ConfigurationError

ROLES = {"owner": "colloquy_owner", "app": "colloquy_app", "platform": "colloquy_platform"}
Role = Literal["owner", "app", "platform"]

_MAJOR = "18"
_START_TIMEOUT = 60.0  # seconds; recovery of a large WAL after kill -9 takes most of it
_FAST, _IMMEDIATE = (signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0)  # PostgreSQL's names for its shutdowns
_ORPHANED = (signal.SIGQUIT, 1.0)  # a backend without a postmaster has nothing left to finish


class EmbeddedPostgres:
    """One cluster in `data_dir/postgres`; start, stop, and start again as often as needed. Not for use by two threads.

    The caller holds the data folder's lock (`app.embedded.lock`): whatever server is found in the folder at `start` was
    left behind by a killed run and is ended first. With `scratch`, for test runs, a killed server loses nothing that
    was committed but nothing survives a power cut (fsync off), the owner may CREATE DATABASE, and each new database has
    the extension `vector`.
    """

    def __init__(self, data_dir: Path, *, log: Path | None = None, scratch: bool = False) -> None:
        self.home = data_dir.expanduser().absolute() / "postgres"
        self.cluster = self.home / _MAJOR
        self.log = log or self.home / "server.log"
        self._scratch = scratch
        self._record_file = self.home / "server.json"
        self._record: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._account = account_for_postgres()

    @property
    def is_new(self) -> bool:
        """Whether the next start must initialise the cluster, which takes a few seconds."""
        return not self.cluster.exists()

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    @property
    def owner_url(self) -> str:
        return self.url("owner")

    @property
    def app_url(self) -> str:
        """For a role that exists once migrations have run, and which they create with this password."""
        return self.url("app")

    @property
    def platform_url(self) -> str:
        """For a role that exists once migrations have run, and which they create with this password."""
        return self.url("platform")

    def url(self, role: Role, database: str = "colloquy") -> str:
        """`postgresql://role:password@127.0.0.1:port/database`. Raises `RuntimeError` before the first start."""
        if "port" not in self._record:
            raise RuntimeError("EmbeddedPostgres has not been started")
        return f"postgresql://{ROLES[role]}:{self._record[role]}@{LOOPBACK}:{self._record['port']}/{database}"

    def start(self, checkpoint: Callable[[], None] = nothing) -> None:
        """Initialise if new, end what a killed run left, and return when connections are accepted.

        `checkpoint` is called many times a second while waiting and may raise to give up. Raises `ConfigurationError`
        with the server's last words. Leaves no process behind when it raises, also when `checkpoint` does.
        """
        if self.pid is not None:
            return
        make_folder(self.home)
        self._clear_left_behind()
        tools = ClusterTools(installation(self._account), self._account, checkpoint)
        fresh_passwords = self._load_record()
        if self.is_new:
            databases = ["colloquy", "template1"] if self._scratch else ["colloquy"]
            statements = _create_database(self._record, scratch=self._scratch)
            # Outside of tests the files are synced: the cluster's name promises a whole one, also after a power cut.
            tools.initialise(self.cluster, databases, statements, sync=not self._scratch)
        else:
            self._check_cluster()
            if fresh_passwords:
                tools.single_user(self.cluster, "colloquy", _set_passwords(self._record))
        self._record["port"] = free_port(self._record.get("port"))
        write_record(self._record_file, self._record)
        try:
            self._launch(tools, checkpoint)
        except BaseException:
            self.stop(at_once)
            raise

    def stop(self, hurry: Callable[[], bool] = patient) -> None:
        """Fast shutdown: open transactions are rolled back. Harmless when not running.

        Once `hurry()` is true, SIGKILL: what was committed is safe, the next start takes a moment longer.
        """
        process, self._process = self._process, None
        if process is not None:
            end([process], _FAST, _IMMEDIATE, hurry=hurry)
            # A postmaster that was killed leaves its backends for as long as they do not notice.
            end_left_behind(left_behind("postgres", self.home), *(() if hurry() else (_ORPHANED,)))

    def poll(self) -> int | None:
        """The exit status if the server ended by itself; None while it runs or was never started."""
        return None if self._process is None else self._process.poll()

    def _clear_left_behind(self) -> None:
        try:
            # By working directory, not by postmaster.pid: that also finds orphaned backends and a half-done initdb.
            end_left_behind(left_behind("initdb", self.home))
            found = left_behind("postgres", self.home)
            # The signal to the postmaster alone: to its children it means other things.
            end_left_behind([one for one in found if one.pid == self._pid_in_file()], _FAST, _IMMEDIATE)
            end_left_behind(left_behind("postgres", self.home), _ORPHANED)
        except psutil.AccessDenied as error:
            raise ConfigurationError(
                f"DATA_DIR: a PostgreSQL server of another user (pid {error.pid}) runs in {self.home}. Stop it first."
            ) from None
        # None of ours runs, so the file is stale; its pid may meanwhile belong to any program of this account.
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        for draft in self.home.glob(f"{_MAJOR}.init-*"):
            shutil.rmtree(draft)

    def _load_record(self) -> bool:
        """Read passwords and port; true when passwords had to be made because the file was missing or damaged."""
        self._record = read_record(self._record_file)
        missing = [role for role in ROLES if not isinstance(self._record.get(role), str)]
        self._record |= {role: secrets.token_urlsafe(24) for role in missing}
        if missing:
            write_record(self._record_file, self._record)
        return bool(missing)

    def _check_cluster(self) -> None:
        owner = self.cluster.stat().st_uid
        expected = os.geteuid() if self._account is None else self._account.uid
        if owner != expected:
            raise ConfigurationError(
                f"DATA_DIR: {self.cluster} belongs to user id {owner}, and PostgreSQL would run as {expected}. "
                f"Run as the user that made it, or remove {self.home} to start without its data."
            )

    def _launch(self, tools: ClusterTools, checkpoint: Callable[[], None]) -> None:
        settings = {
            "port": self._record["port"],
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "max_connections": 200,
            "timezone": "UTC",
            "jit": "off",
            "io_method": "sync",  # saves three processes; a laptop's page cache does the reading ahead
            "log_line_prefix": "%m [%p] %q%u@%d ",
        }
        if self._scratch:
            settings |= {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        with open_log(self.log) as log:
            self._process = spawn(
                [tools.program("postgres"), "-D", tools.name_of(self.cluster), *arguments],
                log=log,
                cwd=self.cluster,
                account=self._account,
                env=environment(),
                death_signal=signal.SIGINT,
            )
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            checkpoint()
            if self._says_ready(self._process.pid):
                return
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                raise ConfigurationError(self._failure(f"was not ready after {_START_TIMEOUT:.0f} s")) from None
            raise ConfigurationError(self._failure(f"ended at its start with status {self._process.returncode}"))

    def _pid_in_file(self) -> int | None:
        try:
            return int((self.cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def _says_ready(self, pid: int) -> bool:
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        # Line 1 is the pid, line 8 the state (PostgreSQL's miscadmin.h: LOCK_FILE_LINE_PM_STATUS).
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _failure(self, what: str) -> str:
        return f"PostgreSQL {what}. The end of {self.log}:\n{tail(self.log)}"


def _create_database(record: dict[str, Any], *, scratch: bool) -> list[str]:
    owner = ROLES["owner"]
    rights = "LOGIN CREATEROLE" + (" CREATEDB" if scratch else "")
    return [
        f"CREATE ROLE {owner} {rights} PASSWORD '{record['owner']}'",
        f"CREATE DATABASE colloquy OWNER {owner}",
    ]


def _set_passwords(record: dict[str, Any]) -> list[str]:
    # The app's roles are missing when the first run ended before it migrated.
    return [
        f"DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN "
        f"ALTER ROLE {name} PASSWORD '{record[role]}'; END IF; END $$"
        for role, name in ROLES.items()
    ]
