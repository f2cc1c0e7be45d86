"""`colloquy reembed`: documents into another vector space, of one organisation or of all."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from app.embedded.running import with_embedded_servers
from core.errors import ConfigurationError
from core.ids import InvalidIdError, NodeKind, TenantId, parse_id
from core.logging import configure_logging
from core.settings import Settings, settings_from_environment


def reembed_command(
    tenant: Annotated[
        str | None, typer.Option(help="One organisation, by its id (`ten_…`).", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All organisations.")] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="The vector space, as `viewer.embeddings.models` lists them; else that of new organisations."
        ),
    ] = None,
) -> None:
    """Embed all documents with another model. Workers do it, and what is there is searched until it is done."""
    if (tenant is None) is not every:
        raise ConfigurationError("Give --tenant ten_… for one organisation, or --all.")
    settings = with_embedded_servers(settings_from_environment())
    configure_logging(production=settings.environment == "production")
    print(asyncio.run(_reembed(settings, tenant, model)))


async def _reembed(settings: Settings, tenant: str | None, model: str | None) -> str:
    # Imported here: it takes seconds.
    from app.preflight import check_servers
    from app.services import api_services
    from resolvers.reembedding import reembed_all
    from resolvers.results import InvalidInput, NotFound

    try:
        wanted = None if tenant is None else TenantId(parse_id(NodeKind.TENANT, tenant))
    except InvalidIdError:
        raise ConfigurationError("--tenant: expected the id of an organisation, ten_…") from None
    await check_servers(settings)
    async with api_services(settings, sweeping=False) as services:
        begun = await reembed_all(services, wanted, model)
        if isinstance(begun, InvalidInput | NotFound):
            raise ConfigurationError(begun.message)
        return f"{len(begun)} organisation{'' if len(begun) == 1 else 's'} on the way. Workers do the rest."
