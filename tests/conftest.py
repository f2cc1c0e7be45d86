"""Fixtures for tests on the real servers: a database cloned from a migrated template, a Redis database, the product."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import argon2
import asyncpg
import pytest

from core import security
from core.settings import Settings
from datastores.migrate import migrate
from datastores.postgres import Postgres
from product import Product, running_product

if TYPE_CHECKING:
    from embedded_servers import Servers

pytest_plugins = ["attack_report", "embedded_servers", "s3_server", "shares"]


# The library's own parameters for tests: nearly every one signs somebody up. Processes hash as the product does, and
# tests/core/test_security.py looks at what that costs.
security._hasher = argon2.PasswordHasher.from_parameters(argon2.profiles.CHEAPEST)

LONG_SECONDS = 90
"""Of a test marked `long` that does not say itself how long it may take."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts and kills processes has time for that on a busy machine, too."""
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_SECONDS))


_RATES = ("anonymous", "keys", "sockets", "sign_in", "sign_up", "uploads", "mails")
PLENTY = {
    **{f"rate_limit_{name}_per_minute": 1_000_000 for name in (*_RATES, "requests")},
    **{f"rate_limit_{name}_burst": 1_000_000 for name in _RATES},
    "rate_limit_burst": 1_000_000,
    "rate_limit_concurrent_answers": 1_000,
    "api_keys_per_person": 1_000,
    "socket_message_bytes": 1024 * 1024,
    "sockets_per_person": 1_000,
    "sockets_per_address": 1_000,
}
"""Limits that no test runs into unless it asks for them."""


def _worker() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


async def _as_owner(servers: Servers, statement: str) -> None:
    connection = await asyncpg.connect(servers.owner_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


_CLIENTS = """SELECT usename, state, backend_start, left(query, 100)
              FROM pg_stat_activity WHERE datname = $1"""


class _Stock:
    """Copies of the template, the next of which is made while a test runs: that takes PostgreSQL 0.2 s."""

    def __init__(self, servers: Servers, pattern: str) -> None:
        self._servers, self._pattern = servers, pattern
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="databases")
        self._next: Future[str] | None = None
        self._drops: list[Future[None]] = []

    def close(self) -> None:
        """Raises what kept a copy from being dropped."""
        self._maker.shutdown()
        for drop in self._drops:
            drop.result()

    def take(self) -> str:
        """The name of a fresh copy."""
        taken = self._next or self._maker.submit(self._make)
        self._next = self._maker.submit(self._make)
        return taken.result()

    def drop(self, name: str) -> None:
        """Drop a copy some time, when nobody uses it any more."""
        self._drops.append(self._maker.submit(self._run, f"DROP DATABASE {name}"))

    def _make(self) -> str:
        name = f"test_{self._servers.run_id}_{_worker()}_{next(_numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {self._pattern}")
        return name

    def _run(self, statement: str) -> None:
        asyncio.run(_as_owner(self._servers, statement))


async def _left(servers: Servers, name: str) -> None:
    """Wait until the server has noticed that a database's clients are gone."""
    connection = await asyncpg.connect(servers.owner_url)
    try:
        clients: list[asyncpg.Record] = []
        try:
            async with asyncio.timeout(30):
                # PostgreSQL tells nobody when a backend has ended: there is nothing to wait on.
                while clients := await connection.fetch(_CLIENTS, name):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"the database still has clients: {list(map(tuple, clients))}") from None
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def template(servers: Servers) -> str:
    """A migrated database, the pattern of every test's own."""
    name = f"template_{servers.run_id}_{_worker()}"
    owner, app, platform = servers.database(name)
    asyncio.run(_as_owner(servers, f"CREATE DATABASE {name}"))
    asyncio.run(migrate(Settings(database_owner_url=owner, database_url=app, database_platform_url=platform)))
    return name


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the local model is unpacked, once for all tests."""
    return tmp_path_factory.mktemp("models")


_numbers = iter(range(1_000_000))


@pytest.fixture
def pattern(template: str) -> str:
    """The database that a test gets a copy of."""
    return template


Copies = Callable[[str], _Stock]


@pytest.fixture(scope="session")
def copies(servers: Servers) -> Iterator[Copies]:
    """The stock of copies of a database."""
    stocks: dict[str, _Stock] = {}

    def of(pattern: str) -> _Stock:
        if pattern not in stocks:
            stocks[pattern] = _Stock(servers, pattern)
        return stocks[pattern]

    yield of
    for stock in stocks.values():
        stock.close()


@contextmanager
def _own_settings(
    servers: Servers, stock: _Stock, models_folder: Path, folder: Path, redis_url: str
) -> Iterator[Settings]:
    name = stock.take()
    owner, app, platform = servers.database(name)
    data_dir = folder / "data"
    data_dir.mkdir()
    (data_dir / "models").symlink_to(models_folder)
    yield Settings(
        database_owner_url=owner,
        database_url=app,
        database_platform_url=platform,
        database_pool_size=5,
        redis_url=redis_url,
        secret_key="a secret key for tests, 32 characters",  # type: ignore[arg-type]
        encryption_keys="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",  # type: ignore[arg-type]
        data_dir=data_dir,
        local_token_interval_ms=0,
        # Tests ask the same again and again, and want to see the model asked.
        cache_ttl_llm_responses=0,
        port=0,
        **PLENTY,  # type: ignore[arg-type]
    )
    asyncio.run(_left(servers, name))
    stock.drop(name)


@pytest.fixture
def settings(servers: Servers, copies: Copies, pattern: str, models_folder: Path, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a product with a database and a data folder of its own."""
    with _own_settings(servers, copies(pattern), models_folder, tmp_path, servers.redis()) as own:
        yield own


SettingsOn = Callable[[str, Path], AbstractContextManager[Settings]]


@pytest.fixture(scope="session")
def settings_on(servers: Servers, copies: Copies, models_folder: Path) -> SettingsOn:
    """Settings on a copy of that database, with that folder, for a product that several tests share."""
    return lambda pattern, folder: _own_settings(servers, copies(pattern), models_folder, folder, servers.redis())


@pytest.fixture(scope="module")
def lasting(settings_on: SettingsOn, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings with a database of a file's own, for all of its tests."""
    with settings_on(template, tmp_path_factory.mktemp("lasting")) as settings:
        yield settings


@pytest.fixture
async def postgres(settings: Settings) -> AsyncIterator[Postgres]:
    """The doors, on a database of the test's own."""
    doors = Postgres(settings)
    yield doors
    await doors.aclose()


@pytest.fixture
async def own_product(settings: Settings) -> AsyncIterator[Product]:
    """A product that the test may harm: an API on a loopback port and a worker, both in this process."""
    async with running_product(settings) as running:
        yield running


@pytest.fixture(scope="session")
def shared_settings(
    servers: Servers, copies: Copies, template: str, models_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Settings of the product that tests share."""
    folder = tmp_path_factory.mktemp("shared")
    with _own_settings(servers, copies(template), models_folder, folder, servers.redis(shared=True)) as settings:
        yield settings


@pytest.fixture(scope="session")
def settings_with_redis(
    servers: Servers, copies: Copies, template: str, models_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], AbstractContextManager[Settings]]:
    """For products that last longer than a test: settings with a database of their own, and the Redis of that URL."""
    return lambda redis_url: _own_settings(
        servers, copies(template), models_folder, tmp_path_factory.mktemp("lasting"), redis_url
    )


@pytest.fixture(scope="session")
async def product(shared_settings: Settings) -> AsyncIterator[Product]:
    """One product for all tests that ask no more of it than its clients do: each signs up a tenant of its own.

    A test that looks at all tenants' rows, or breaks something, takes `own_product`.
    """
    async with running_product(shared_settings) as running:
        yield running
