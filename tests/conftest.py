"""Fixtures for tests on the real servers: a database cloned from a migrated template, a Redis database, the product."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from core.settings import Settings
from datastores.migrate import migrate
from datastores.postgres import Postgres
from product import Product, running_product

if TYPE_CHECKING:
    from embedded_servers import Servers

pytest_plugins = ["embedded_servers"]


def _worker() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def _redis_number() -> int:
    name = _worker()
    return int(name.removeprefix("gw")) + 1 if name.startswith("gw") else 0


async def _as_owner(servers: Servers, statement: str) -> None:
    connection = await asyncpg.connect(servers.owner_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _drop(servers: Servers, name: str) -> None:
    """Drop a database once the server has noticed that its clients are gone."""
    connection = await asyncpg.connect(servers.owner_url)
    try:
        async with asyncio.timeout(10):
            # PostgreSQL tells nobody when a backend has ended: there is nothing to wait on.
            while await connection.fetchval(  # noqa: ASYNC110
                "SELECT count(*) FROM pg_stat_activity WHERE datname = $1", name
            ):
                await asyncio.sleep(0.02)
        await connection.execute(f"DROP DATABASE {name}")
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
def settings(servers: Servers, template: str, models_folder: Path, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a product with a database and a data folder of its own."""
    name = f"test_{servers.run_id}_{_worker()}_{next(_numbers)}"
    asyncio.run(_as_owner(servers, f"CREATE DATABASE {name} TEMPLATE {template}"))
    owner, app, platform = servers.database(name)
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "models").symlink_to(models_folder)
    yield Settings(
        database_owner_url=owner,
        database_url=app,
        database_platform_url=platform,
        database_pool_size=5,
        redis_url=servers.redis(_redis_number()),
        secret_key="a secret key for tests, 32 characters",  # type: ignore[arg-type]
        data_dir=data_dir,
        local_token_interval_ms=0,
        port=0,
    )
    asyncio.run(_drop(servers, name))


@pytest.fixture
async def postgres(settings: Settings) -> AsyncIterator[Postgres]:
    """The doors, on a database of the test's own."""
    doors = Postgres(settings)
    yield doors
    await doors.aclose()


@pytest.fixture
async def product(settings: Settings) -> AsyncIterator[Product]:
    """The API on a loopback port and a worker, both in this process."""
    async with running_product(settings) as running:
        yield running
