"""The world of two tenants, made once; each test gets a copy of its database and files."""

from __future__ import annotations

import asyncio
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
        redis_url=servers.redis(),
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
def pattern(world: World) -> str:
    """A copy of the world, in place of an empty database."""
    return world.database


@pytest.fixture
def settings(world: World, settings: Settings) -> Settings:
    """Settings of a product on a copy of the world, files and all."""
    shutil.copytree(world.files, settings.data_dir / "files")
    return settings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test comes first has the world made within its time."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(60))
