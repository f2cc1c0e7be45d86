"""Start-up refuses an application role that row-level security does not bind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa

from app.embedded.account import account_for_postgres, installation
from app.embedded.cluster import ClusterTools
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.processes import at_once, nothing
from app.services import api_services, job_services
from core.errors import ConfigurationError
from core.settings import Settings
from datastores.migrate import migrate
from datastores.postgres import Postgres

LOGIN = "LOGIN PASSWORD 'secret'"
# Only a superuser makes these, and the embedded server has none that could log in: single-user mode makes them.
PRIVILEGED = [
    f"CREATE ROLE a_superuser SUPERUSER {LOGIN}",
    f"CREATE ROLE a_bypasser BYPASSRLS {LOGIN}",
    f"CREATE ROLE may_become_superuser NOINHERIT {LOGIN} IN ROLE a_superuser",
    f"CREATE ROLE may_take_on_bypass NOINHERIT {LOGIN} IN ROLE a_bypasser",
    f"CREATE ROLE may_become_owner NOINHERIT {LOGIN} IN ROLE colloquy_owner",
    f"CREATE ROLE twice_removed NOINHERIT {LOGIN} IN ROLE may_become_owner",
]
ORDINARY = [
    f"CREATE ROLE owns_one_table {LOGIN}",
    "GRANT owns_one_table TO colloquy_owner",
    "GRANT CREATE ON SCHEMA public TO owns_one_table",
    "CREATE TABLE theirs (id integer)",
    "ALTER TABLE theirs OWNER TO owns_one_table",
    f"CREATE ROLE may_become_platform NOINHERIT {LOGIN} IN ROLE colloquy_platform, colloquy_app",
    f"CREATE ROLE harmless {LOGIN} IN ROLE colloquy_app",
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A server of these tests' own, with roles that must be refused."""
    folder: Path = tmp_path_factory.mktemp("roles")
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder, scratch=True)
    server.start()
    try:
        settings = Settings(
            database_owner_url=server.owner_url,
            database_url=server.app_url,
            database_platform_url=server.platform_url,
            data_dir=folder,
        )
        asyncio.run(migrate(settings))
        asyncio.run(_as_owner(settings, ORDINARY))
        server.stop()
        tools = ClusterTools(installation(account_for_postgres()), account_for_postgres(), nothing)
        tools.single_user(server.cluster, "colloquy", PRIVILEGED)
        server.start()
        yield settings.model_copy(update={"database_owner_url": server.owner_url, "database_url": server.app_url})
    finally:
        server.stop(at_once)


async def _as_owner(settings: Settings, statements: list[str]) -> None:
    connection = await asyncpg.connect(settings.database_owner_url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


def _as(settings: Settings, role: str) -> Settings:
    url = sa.make_url(settings.database_url or "").set(username=role, password="secret")
    return settings.model_copy(update={"database_url": url.render_as_string(hide_password=False)})


async def _check(settings: Settings) -> None:
    doors = Postgres(settings)
    try:
        await doors.refuse_unsafe_roles()
    finally:
        await doors.aclose()


@pytest.mark.parametrize(
    ("role", "reason"),
    [
        ("a_superuser", "superuser"),
        ("may_become_superuser", "superuser"),
        ("a_bypasser", "BYPASSRLS"),
        ("may_take_on_bypass", "BYPASSRLS"),
        ("may_become_owner", "owns tables, or is a member of the role that does"),
        ("twice_removed", "owns tables"),
        ("owns_one_table", "owns tables"),
        ("may_become_platform", "is a member of colloquy_platform"),
    ],
)
async def test_a_role_that_could_step_around_the_policies_is_refused(cluster: Settings, role: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as caught:
        await _check(_as(cluster, role))
    assert reason in str(caught.value)
    assert role in str(caught.value)
    assert "colloquy migrate" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_the_owner_and_the_platform_role_are_refused(cluster: Settings) -> None:
    for url, reason in (
        (cluster.database_owner_url, "owns tables"),
        (cluster.database_platform_url, "colloquy_platform"),
    ):
        assert url is not None
        same_port = sa.make_url(url).set(port=sa.make_url(cluster.database_url or "").port)
        with pytest.raises(ConfigurationError, match=reason):
            await _check(cluster.model_copy(update={"database_url": same_port.render_as_string(hide_password=False)}))


async def test_the_application_role_and_a_plain_member_of_it_are_let_in(cluster: Settings) -> None:
    await _check(cluster)
    await _check(_as(cluster, "harmless"))


async def test_neither_api_nor_worker_starts_with_such_a_role(settings: Settings) -> None:
    unsafe = settings.model_copy(update={"database_url": settings.database_owner_url})
    for services in (api_services(unsafe), job_services(unsafe)):
        with pytest.raises(ConfigurationError, match="owns tables"):
            await services.__aenter__()
