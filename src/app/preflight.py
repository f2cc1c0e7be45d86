"""Before a command begins: are its settings whole, and do the servers that they name answer? One line when not.

Each check raises `ConfigurationError`, within seconds.
"""

from __future__ import annotations

from app.services import api_services, signer
from core.settings import Settings
from datastores.postgres_url import app_url, owner_url, platform_url
from datastores.probes import probe_postgres, probe_redis
from datastores.storage.opening import probe_storage


async def check_run(settings: Settings) -> None:
    """For `run`: only what is set, because it brings the rest itself."""
    if settings.secret_key is not None:
        signer(settings)
    if settings.database_url is not None:
        # With the owner's URL the run migrates first, which makes the roles.
        migrating = settings.database_owner_url is not None
        if migrating:
            await check_migrate(settings)
        instead = "unset DATABASE_URL to use the embedded server"
        await probe_postgres(settings, "DATABASE_URL", app_url(settings), remedy=instead, role_expected=not migrating)
        await probe_postgres(
            settings, "DATABASE_PLATFORM_URL", platform_url(settings), remedy=instead, role_expected=not migrating
        )
    if settings.redis_url is not None:
        await probe_redis(settings, remedy="unset REDIS_URL to use the embedded server")
    await probe_storage(settings)


async def check_migrate(settings: Settings) -> None:
    """For `migrate`, which connects as the owner alone."""
    await probe_postgres(settings, "DATABASE_OWNER_URL", owner_url(settings))


async def check_servers(settings: Settings) -> None:
    """For `work` and `seed`, which then check the rest as they make their services."""
    await probe_postgres(settings, "DATABASE_URL", app_url(settings))
    await probe_postgres(settings, "DATABASE_PLATFORM_URL", platform_url(settings))
    await probe_redis(settings)
    await probe_storage(settings)


async def check_serve(settings: Settings) -> None:
    """For `serve`: all that would stop it, once uvicorn has begun, with a traceback."""
    signer(settings)
    await check_servers(settings)
    async with api_services(settings, sweeping=False):
        pass
