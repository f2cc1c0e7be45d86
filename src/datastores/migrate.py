"""Bring a database to the newest schema: roles first, then Alembic's revisions, as the owner."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from core.errors import ConfigurationError
from core.settings import Settings
from datastores.postgres import APP_ROLE, PLATFORM_ROLE
from datastores.postgres_url import app_url, connect_arguments, engine_url, owner_url, parse_url, platform_url
from datastores.prompts import ship

# Any fixed number: two migrators on one database wait for each other.
_LOCK = 0x436F6C6C6F717579


async def migrate(settings: Settings, revision: str = "head") -> None:
    """Create missing roles and run migrations up (or down) to `revision`. Raises `ConfigurationError`.

    At the newest one, tenants are given the prompts that came with this release.
    """
    owner, application = owner_url(settings), app_url(settings)
    engine = create_async_engine(engine_url(owner), connect_args=connect_arguments(settings, owner))
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await _ensure_role(connection, APP_ROLE, application)
            await _ensure_role(connection, PLATFORM_ROLE, platform_url(settings))
            await connection.run_sync(_run_alembic, revision)
            if revision == "head":
                await connection.run_sync(ship)
    finally:
        await engine.dispose()


def alembic_config() -> Config:
    """Alembic's configuration; `attributes["connection"]` must be set before a command runs."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _run_alembic(connection: sa.Connection, revision: str) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    if revision in ("base", "-1"):
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


async def _ensure_role(connection: AsyncConnection, role: str, url: str) -> None:
    """Make sure that the role which holds the rights exists, and that the URL's user has it."""
    target = parse_url(url)
    if target.username is None:
        raise ConfigurationError(f"DATABASE_URL: no user name. Expected one such as {role}.")
    # A user of another name (a hosted database often prescribes it) becomes a member of the role with the rights.
    for name in dict.fromkeys((role, target.username)):
        exists = await connection.scalar(sa.text("SELECT true FROM pg_roles WHERE rolname = :name"), {"name": name})
        if exists:
            continue
        login = "LOGIN PASSWORD " + _literal(target.password or "") if name == target.username else "NOLOGIN"
        statement = sa.text(f"CREATE ROLE {_identifier(name)} {login}".replace(":", r"\:"))
        try:
            async with connection.begin_nested():
                await connection.execute(statement)
        except (sa.exc.IntegrityError, sa.exc.ProgrammingError) as error:
            # Roles belong to the whole server: another database's migration may have made it meanwhile.
            if getattr(error.orig, "sqlstate", "") not in ("42710", "23505"):
                raise ConfigurationError(
                    f"DATABASE_OWNER_URL: this role may not create the role {name!r}. Either give it CREATEROLE, "
                    f"or run as an administrator: CREATE ROLE {name} LOGIN PASSWORD '…';"
                ) from None
    if target.username != role:
        await connection.execute(sa.text(f"GRANT {_identifier(role)} TO {_identifier(target.username)}"))


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    if "\\" in text or "\0" in text:
        raise ConfigurationError("DATABASE_URL: backslashes are not allowed in a password.")
    return "'" + text.replace("'", "''") + "'"
