"""Making a PostgreSQL cluster, and changing one that does not run: initdb and single-user mode."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from app.embedded.processes import Account, end, spawn
from core.errors import ConfigurationError

_ACCESS_RULES = """\
# Written at initialisation: the superuser never logs in, everyone else needs a password and comes from this machine.
host all postgres 127.0.0.1/32 reject
host all all      127.0.0.1/32 scram-sha-256
"""


class ClusterTools:
    """PostgreSQL's programs in `install`, run as `account` (None: as we are).

    `checkpoint` is called many times a second while a program runs; when it raises, the program is killed first.
    """

    def __init__(self, install: Path, account: Account | None, checkpoint: Callable[[], None]) -> None:
        self._install = install
        self._account = account
        self._checkpoint = checkpoint

    def program(self, name: str) -> Path:
        """The path of postgres, initdb or another."""
        return self._install / "bin" / name

    def name_of(self, folder: Path) -> str:
        """How a child that already stands in the folder names it (see `app.embedded.account`)."""
        return str(folder) if self._account is None else "/proc/self/cwd"

    def initialise(self, cluster: Path, databases: Iterable[str], statements: Iterable[str], *, sync: bool) -> None:
        """Make the cluster with these roles and databases, and the extension `vector` in each of `databases`.

        It gets its name last, so that a killed initialisation counts for nothing. Raises `ConfigurationError`.
        """
        draft = cluster.with_name(f"{cluster.name}.init-{os.getpid()}")
        draft.mkdir(mode=0o700)
        if self._account is not None:
            os.chown(draft, self._account.uid, self._account.gid)
        options = ["--username=postgres", "--auth=reject", "--encoding=UTF8", *([] if sync else ["--no-sync"])]
        try:
            self._run("initdb", ["-D", self.name_of(draft), *options, "--locale=C.UTF-8"], cwd=draft)
        except ConfigurationError as error:
            if "locale" not in str(error):
                raise
            # macOS before 15 has no C.UTF-8.
            self._run("initdb", ["-D", self.name_of(draft), *options, "--locale=C"], cwd=draft)
        (draft / "pg_hba.conf").write_text(_ACCESS_RULES)
        self.single_user(draft, "postgres", statements)
        for database in databases:
            self.single_user(draft, database, ["CREATE EXTENSION vector"])
        draft.rename(cluster)

    def single_user(self, cluster: Path, database: str, statements: Iterable[str]) -> None:
        """Run one-line statements as the superuser on a cluster that is not running. Raises `ConfigurationError`."""
        script = "".join(statement + "\n" for statement in statements)
        options = ["--single", "-c", "exit_on_error=on", "-D", self.name_of(cluster), database]
        self._run("postgres", options, cwd=cluster, script=script)

    def _run(self, name: str, arguments: list[str], *, cwd: Path, script: str = "") -> None:
        # Files and not pipes: nobody need read and write at the same time, and passwords stay out of `ps`.
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as output:
            source.write(script.encode())
            source.seek(0)
            process = spawn(
                [self.program(name), *arguments],
                stdin=source,
                log=output,
                cwd=cwd,
                env=environment(),
                account=self._account,
                death_signal=signal.SIGKILL,
            )
            try:
                while process.poll() is None:
                    self._checkpoint()
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(0.02)
            except BaseException:
                end([process])
                raise
            output.seek(0)
            said = output.read().decode("utf-8", "replace").strip().splitlines()[-8:]
        if process.returncode != 0:
            raise ConfigurationError(
                f"PostgreSQL's {name} failed with status {process.returncode} in {cwd}:\n" + "\n".join(said)
            )


def environment() -> dict[str, str]:
    """Ours without PG* variables, which a developer may have set for another server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
