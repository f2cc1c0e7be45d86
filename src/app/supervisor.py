"""`make run`: the whole product on one machine, from an empty folder to "ready", and back to no process at all.

Order up: lock, port, PostgreSQL and Redis, migrate, API and worker, seed, ready. Order down: API and worker together,
so that running answers can still be handed over, then Redis, then PostgreSQL.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Protocol

from app.embedded.files import make_folder, make_private
from app.embedded.lock import DataFolderLock
from app.embedded.ports import free_port, require_free
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.processes import tail
from app.embedded.redis import EmbeddedRedis
from app.running.banner import ready_rows
from app.running.display import Display
from app.running.logs import WatchedLog
from app.running.one_shot import OneShot
from app.running.programs import (
    Program,
    Programs,
    Roster,
    Service,
    child_environment,
    encryption_keys,
    secret_key,
    stop_together,
)
from app.running.readiness import ask_ready, base_url
from app.running.restarts import RestartBudget
from app.running.stopping import StopRequested, StopSignals
from core.errors import ConfigurationError
from core.settings import Settings

_READY_TIMEOUT = 120.0  # seconds; loading the local models on a slow disk takes most of it
_LOOK = 1.0  # seconds between two looks at the logs while all is well
_PROBE = 0.1  # seconds between two questions to /readyz while starting


class _Part(Protocol):
    """An embedded server or a service."""

    log: Path

    def start(self, checkpoint: Callable[[], None]) -> None: ...
    def stop(self, hurry: Callable[[], bool]) -> None: ...
    def poll(self) -> int | None: ...


class RunFailed(Exception):
    """The run cannot go on; the message is for the person."""


def run(settings: Settings, programs: Programs | None = None, display: Display | None = None) -> int:
    """Run until a stop signal (returns exit status 0), or until something cannot be mended (1, its reason shown).

    Call it from the main thread. Leaves no process behind.
    """
    display = display or Display()
    try:
        with StopSignals() as signals:
            port = settings.port or free_port()
            with DataFolderLock(settings.data_dir, base_url(settings.host, port)):
                return _Run(settings, port, programs or Programs(), display, signals).until_stopped()
    except (ConfigurationError, RunFailed) as error:
        display.fail(str(error))
        return 1


class _Run:
    """One run, with the data folder's lock held."""

    def __init__(
        self, settings: Settings, port: int, programs: Programs, display: Display, signals: StopSignals
    ) -> None:
        self._settings = settings
        self._port = port
        self._programs = programs
        self._display = display
        self._signals = signals
        self._data_dir = make_folder(settings.data_dir)
        self._logs = make_private(self._data_dir / "logs")
        self._roster = Roster(self._data_dir)
        self._secret = secret_key(settings, self._data_dir)
        self._encryption_keys = encryption_keys(settings, self._data_dir)
        self._postgres = None if settings.database_url else EmbeddedPostgres(self._data_dir, log=self._log("postgres"))
        self._redis = None if settings.redis_url else EmbeddedRedis(self._data_dir, log=self._log("redis"))
        self._services: dict[str, Service] = {}
        self._parts: dict[str, _Part] = {}
        self._budgets: dict[str, RestartBudget] = {}
        self._restart_at: dict[str, float] = {}
        self._watched: list[tuple[str, WatchedLog]] = []
        # Filled on the way up, so that the way down is its mirror wherever the way up ended.
        self._down = ExitStack()

    def until_stopped(self) -> int:
        """Up, watch, down. Raises `ConfigurationError` or `RunFailed`, with everything ended."""
        try:
            self._up()
            self._watch()
        except StopRequested:
            return 0
        finally:
            self._signals.begin_ending()
            with self._display.step("Stopping (Ctrl-C again to hurry)", "Stopped"):
                self._down.close()
        return 0

    # The way up

    def _up(self) -> None:
        if ended := self._roster.end_left_behind():
            self._display.say(f"Ended {ended} process(es) that a killed run had left.")
        require_free(self._settings.host, self._port)
        self._start_servers()
        self._migrate()
        seed = self._start_services()
        with self._display.step("Starting the API and the worker"):
            self._until_ready()
        if seed is not None:
            in_production = self._settings.environment == "production"
            with self._display.step("Keeping the demo's people out" if in_production else "Preparing the demo"):
                self._until_finished(seed)
        url = base_url(self._settings.host, self._port)
        self._display.banner(ready_rows(url, self._data_dir, graphiql=self._settings.graphiql_enabled))

    def _start_servers(self) -> None:
        if self._postgres is not None:
            title = "Making the database (first start)" if self._postgres.is_new else "Starting PostgreSQL"
            self._start_part("postgres", title, self._postgres)
        if self._redis is not None:
            self._start_part("redis", "Starting Redis", self._redis)

    def _start_part(self, name: str, title: str, server: EmbeddedPostgres | EmbeddedRedis) -> None:
        self._add(name, server)
        self._down.callback(server.stop, self._hurry)
        with self._display.step(title):
            server.start(self._checkpoint)

    def _migrate(self) -> None:
        if self._programs.migrate is None:
            return
        if not self._can_be_owner:
            self._display.warn("DATABASE_OWNER_URL is not set: this run neither migrates the database nor seeds it.")
            return
        with self._display.step("Migrating the database"):
            self._until_finished(self._one_shot("migrate", self._programs.migrate))

    def _start_services(self) -> OneShot | None:
        """Start the services, and the seed, which may need them, at the same time."""
        self._down.callback(lambda: stop_together(self._services.values(), self._hurry))
        for name, program in self._programs.services.items():
            service = Service(program, partial(self._environment, program), self._log(name), self._roster)
            self._services[name] = service
            self._add(name, service)
            try:
                service.start(self._checkpoint)
            except OSError as error:
                raise RunFailed(f"{name}: cannot run {program.argv[0]} ({error.strerror}).") from None
        if self._programs.seed is None or not self._can_be_owner:
            return None
        return self._one_shot("seed", self._programs.seed)

    def _one_shot(self, name: str, program: Program) -> OneShot:
        log = self._log(name)
        try:
            shot = OneShot(name, program, self._environment(program), log, self._roster, self._display)
        except OSError as error:
            raise RunFailed(f"{name}: cannot run {program.argv[0]} ({error.strerror}).") from None
        self._down.callback(shot.close, self._hurry)
        return shot

    def _until_finished(self, shot: OneShot) -> None:
        while not shot.finished():
            self._signals.wait(_PROBE)
            self._display.tick()
            self._require_all_alive()

    def _until_ready(self) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT
        while (reason := ask_ready(self._settings.host, self._port)) is not None:
            self._signals.wait(_PROBE)
            self._display.tick()
            self._require_all_alive()
            if time.monotonic() > deadline:
                raise RunFailed(
                    f"The API at {base_url(self._settings.host, self._port)}/readyz was not ready after "
                    f"{_READY_TIMEOUT:.0f} s: {reason}. The logs are in {self._logs}."
                )

    def _require_all_alive(self) -> None:
        """Before the first "ready" a death is a wrong setting or a broken installation: starting again helps nobody."""
        for name, part in self._parts.items():
            if (status := part.poll()) is not None:
                raise RunFailed(f"{name} {_how(status)} while starting. The end of {part.log}:\n{tail(part.log)}")

    # While it runs

    def _watch(self) -> None:
        next_look = time.monotonic()
        while True:
            for name, part in self._parts.items():
                due = self._restart_at.get(name)
                if due is None and (status := part.poll()) is not None:
                    self._died(name, _how(status))
                elif due is not None and due <= time.monotonic():
                    del self._restart_at[name]
                    self._start_again(name, part)
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + _LOOK
                self._look_at_logs()
            self._signals.wait(min([next_look, *self._restart_at.values()]) - time.monotonic())

    def _died(self, name: str, how: str) -> None:
        delay = self._budgets[name].delay_after_death(time.monotonic())
        if delay is None:
            log = self._parts[name].log
            raise RunFailed(f"{name} {how}, too often within a minute. The end of {log}:\n{tail(log)}")
        self._display.warn(f"{name} {how}; starting it again in {delay:.2g} s")
        self._restart_at[name] = time.monotonic() + delay

    def _start_again(self, name: str, part: _Part) -> None:
        addresses = self._addresses()
        try:
            part.start(self._checkpoint)
        except (ConfigurationError, OSError) as error:
            self._died(name, f"did not start ({error})")
            return
        if self._addresses() != addresses:
            # Another program took the server's port meanwhile; the services know the old one.
            stop_together(self._services.values(), self._hurry)
            for service in self._services.values():
                service.start(self._checkpoint)

    def _look_at_logs(self) -> None:
        for name, log in self._watched:
            for line in log.new_errors():
                self._display.warn(f"{name}: {line}")
            log.rotate()

    # Settings of the parts

    @property
    def _can_be_owner(self) -> bool:
        return self._postgres is not None or self._settings.database_owner_url is not None

    def _addresses(self) -> dict[str, str | None]:
        settings, postgres, redis = self._settings, self._postgres, self._redis
        return {
            "DATABASE_URL": postgres.app_url if postgres else settings.database_url,
            "DATABASE_PLATFORM_URL": postgres.platform_url if postgres else settings.database_platform_url,
            "DATABASE_OWNER_URL": postgres.owner_url if postgres else settings.database_owner_url,
            "REDIS_URL": redis.url if redis else settings.redis_url,
        }

    def _environment(self, program: Program) -> dict[str, str]:
        values = self._addresses() | {
            "SECRET_KEY": self._secret,
            "ENCRYPTION_KEYS": self._encryption_keys,
            "HOST": self._settings.host,
            "PORT": str(self._port),
            "DATA_DIR": str(self._data_dir),
        }
        return child_environment(values, remove=() if program.as_owner else ("DATABASE_OWNER_URL",))

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _add(self, name: str, part: _Part) -> None:
        self._parts[name] = part
        self._budgets[name] = RestartBudget()
        log = WatchedLog(part.log)
        log.rotate()
        self._watched.append((name, log))

    def _checkpoint(self) -> None:
        self._display.tick()
        self._signals.checkpoint()

    def _hurry(self) -> bool:
        self._display.tick()
        return self._signals.hastened()


def _how(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
