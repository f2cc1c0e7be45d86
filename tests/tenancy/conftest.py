"""The world of two tenants, made once; each test gets a copy of its database and files."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
from two_tenants import SUBJECTS, Tenant, World, make_tenant

from core.settings import Settings
from product import running_product

if TYPE_CHECKING:
    from embedded_servers import Servers

DAY = 86_400


@pytest.fixture(scope="session")
def world(servers: Servers, template: str, models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made by the running product, once; tests see copies."""
    database = f"{template}_world"
    owner, app, platform = servers.database(database)
    data_dir = tmp_path_factory.mktemp("world")
    (data_dir / "models").symlink_to(models_folder)
    settings = Settings(
        database_owner_url=owner,
        database_url=app,
        database_platform_url=platform,
        redis_url=servers.redis(_redis_number()),
        secret_key="a secret key for tests, 32 characters",
        data_dir=data_dir,
        access_token_ttl=DAY,
        file_link_ttl=DAY,
        local_token_interval_ms=0,
        port=0,
    )

    async def make() -> list[Tenant]:
        connection = await asyncpg.connect(servers.owner_url)
        await connection.execute(f"CREATE DATABASE {database} TEMPLATE {template}")
        await connection.close()
        async with running_product(settings) as product:
            return [await make_tenant(product, subject) for subject in SUBJECTS]

    first, second = asyncio.run(make())
    return World(database, data_dir / "files", first, second)


@pytest.fixture
def settings(world: World, settings: Settings, servers: Servers) -> Settings:
    """Settings of a product on a copy of the world, in place of an empty one."""
    name = str(settings.database_owner_url).rpartition("/")[2]

    async def copy() -> None:
        connection = await asyncpg.connect(servers.owner_url)
        await connection.execute(f"DROP DATABASE {name}")
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {world.database}")
        await connection.close()

    asyncio.run(copy())
    shutil.copytree(world.files, settings.data_dir / "files")
    return settings


def _redis_number() -> int:
    """As the settings of each test have it: workers of pytest-xdist must not empty each other's database."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return int(worker.removeprefix("gw")) + 1 if worker else 0
