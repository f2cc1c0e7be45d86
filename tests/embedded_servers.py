"""One PostgreSQL and one Redis for a whole test run, shared by pytest-xdist's workers: a pytest plugin.

Load it with `pytest_plugins = ["embedded_servers"]` in tests/conftest.py. With xdist the controller starts both before
the workers and tells them the URLs through the environment; without it they start when a test first asks for them.
Both end with the run, also when it is killed; their data are in a temporary folder.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from app.embedded.postgres import EmbeddedPostgres
from app.embedded.processes import at_once
from app.embedded.redis import EmbeddedRedis

_VARIABLE = "COLLOQUY_TEST_SERVERS"


@dataclass(frozen=True)
class Servers:
    """URLs of the run's servers.

    `owner_url` names the database `colloquy` (empty until someone migrates it); the owner may CREATE DATABASE, and each
    new database has the extension `vector`. `app_url` and `platform_url` are for roles that migrations create once for
    the cluster. Redis has 16 databases; `redis_url` names 0.
    """

    owner_url: str
    app_url: str
    platform_url: str
    redis_url: str
    run_id: str

    def database(self, name: str) -> tuple[str, str, str]:
        """The owner's, app's and platform's URL with another database name (which is not created here)."""
        owner, app, platform = (
            f"{url.rpartition('/')[0]}/{name}" for url in (self.owner_url, self.app_url, self.platform_url)
        )
        return owner, app, platform

    def redis(self, *, shared: bool = False) -> str:
        """The URL of the Redis database that this process's tests may empty, or of the one that its tests share."""
        name = os.environ.get("PYTEST_XDIST_WORKER", "")
        number = 2 * (int(name.removeprefix("gw")) + 1) if name else 0
        return f"{self.redis_url.rpartition('/')[0]}/{number + shared}"


class _Run:
    """What this process itself has started; at most once."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.postgres: EmbeddedPostgres | None = None
        self.redis: EmbeddedRedis | None = None

    def start(self) -> Servers:
        self.folder = Path(tempfile.mkdtemp(prefix="colloquy-tests-"))
        self.postgres = EmbeddedPostgres(self.folder, scratch=True)
        self.redis = EmbeddedRedis(self.folder, scratch=True)
        self.postgres.start()
        self.redis.start()
        return Servers(
            self.postgres.owner_url,
            self.postgres.app_url,
            self.postgres.platform_url,
            self.redis.url,
            secrets.token_hex(4),
        )

    def stop(self) -> None:
        if self.redis is not None:
            self.redis.stop(at_once)
        if self.postgres is not None:
            self.postgres.stop(at_once)
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


_run = _Run()


def pytest_configure(config: pytest.Config) -> None:
    """In xdist's controller: start, before the workers inherit the environment."""
    is_worker = hasattr(config, "workerinput")
    distributes = config.getoption("dist", "no") != "no" and not config.getoption("collectonly", False)
    if distributes and not is_worker:
        try:
            os.environ[_VARIABLE] = json.dumps(asdict(_run.start()))
        except BaseException:
            _run.stop()
            raise


def pytest_unconfigure(config: pytest.Config) -> None:
    """The workers are gone by now."""
    if not hasattr(config, "workerinput"):
        os.environ.pop(_VARIABLE, None)
        _run.stop()


@pytest.fixture(scope="session")
def servers() -> Servers:
    """The run's PostgreSQL and Redis."""
    if _VARIABLE not in os.environ:
        os.environ[_VARIABLE] = json.dumps(asdict(_run.start()))
    return Servers(**json.loads(os.environ[_VARIABLE]))
