"""`colloquy provider-keys rotate`: organisations' own keys, sealed anew."""

from __future__ import annotations

import asyncio

import typer

from app.embedded.running import with_embedded_servers
from core.errors import ConfigurationError
from core.logging import configure_logging
from core.settings import Settings, settings_from_environment

provider_keys = typer.Typer(help="Organisations' own keys for hosted models.", no_args_is_help=True)


@provider_keys.callback()
def _group() -> None:
    """A group, although it has one command."""


@provider_keys.command("rotate")
def rotate_command() -> None:
    """Seal all of them anew under the first of ENCRYPTION_KEYS, so that the other ones are needed no more."""
    settings = with_embedded_servers(settings_from_environment())
    configure_logging(production=settings.environment == "production")
    print(asyncio.run(_rotate(settings)))


async def _rotate(settings: Settings) -> str:
    # Imported here: it takes seconds.
    from app.preflight import check_servers
    from app.services import api_services
    from resolvers.provider_keys import seal_all_anew

    await check_servers(settings)
    async with api_services(settings, sweeping=False) as services:
        rotated = await seal_all_anew(services)
    if rotated.lost:
        raise ConfigurationError(
            f"ENCRYPTION_KEYS: {rotated.lost} keys are sealed with none of these ({rotated.sealed} are done). Add the "
            "key that is missing, or have those organisations set theirs again: the log names them."
        )
    return f"{rotated.sealed} keys are sealed with the first of ENCRYPTION_KEYS now."
