"""`colloquy quota`: how much one organisation may keep."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from app.embedded.running import with_embedded_servers
from core.errors import ConfigurationError
from core.logging import configure_logging
from core.settings import Settings, settings_from_environment

MOST = 2**53 - 1
"""What every client's numbers have exactly."""


def quota_command(
    tenant: Annotated[str, typer.Argument(help="The organisation's id (`ten_…`).", show_default=False)],
    documents: Annotated[int | None, typer.Option(min=0, max=MOST, help="It may keep so many documents.")] = None,
    size: Annotated[
        int | None, typer.Option("--bytes", min=0, max=MOST, help="It may keep so many bytes of originals.")
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="What is not given is QUOTA_DOCUMENTS and QUOTA_BYTES again.")
    ] = False,
) -> None:
    """Show how much an organisation may keep and keeps, or set it: both numbers at once."""
    changes = documents is not None or size is not None or default
    if changes and not default and (documents is None or size is None):
        raise ConfigurationError("Give both --documents and --bytes, or one of them and --default for the other.")
    settings = with_embedded_servers(settings_from_environment())
    configure_logging(production=settings.environment == "production")
    print(asyncio.run(_quota(settings, tenant, documents, size, changes=changes)))


async def _quota(settings: Settings, tenant: str, documents: int | None, size: int | None, *, changes: bool) -> str:
    # Imported here: it takes seconds.
    from app.preflight import check_servers
    from app.services import api_services
    from datastores.quotas import Standing
    from resolvers.quotas import quota_of, set_quota

    await check_servers(settings)
    async with api_services(settings, sweeping=False) as services:
        if changes:
            result = await set_quota(services, tenant, documents=documents, bytes=size)
        else:
            result = await quota_of(services, tenant)
    if not isinstance(result, Standing):
        raise ConfigurationError(result.message)
    return (
        f"{tenant}: {result.used.documents:,} of {result.limit.documents:,} documents, "
        f"{result.used.bytes:,} of {result.limit.bytes:,} bytes"
    )
