"""`colloquy admin add`: how the first administrator of the platform comes to be."""

from __future__ import annotations

import asyncio
import getpass
import sys
from typing import Annotated

import typer

from app.embedded.running import with_embedded_servers
from core.errors import ConfigurationError
from core.logging import configure_logging
from core.settings import Settings, settings_from_environment

admin = typer.Typer(help="Administrators of the platform.", no_args_is_help=True)


@admin.callback()
def _group() -> None:
    """A group, although it has one command."""


@admin.command("add")
def add_command(
    email: Annotated[str, typer.Argument(help="The address of the account.", show_default=False)],
    name: Annotated[str, typer.Option("--name", help="Of a new account.")] = "Administrator",
    resume: Annotated[
        bool, typer.Option("--resume", help="Lift a suspension of the account and of its organisation.")
    ] = False,
) -> None:
    """Give an account the role ADMIN, or make one that has it.

    Where its organisation is suspended, or the account, it could not sign in: then nothing is done without --resume.

    The password of a new account is asked for at the terminal, or is the first line of standard input.
    """
    settings = with_embedded_servers(settings_from_environment())
    configure_logging(production=settings.environment == "production")
    print(asyncio.run(_add(settings, email, name, resume=resume)))


async def _add(settings: Settings, email: str, name: str, *, resume: bool) -> str:
    # Imported here: it takes seconds.
    from app.preflight import check_servers
    from app.services import api_services
    from resolvers.administrators import Administrator, add_administrator, raise_to_administrator
    from resolvers.results import NotFound

    await check_servers(settings)
    async with api_services(settings, sweeping=False) as services:
        result = await raise_to_administrator(services, email, resume=resume)
        if isinstance(result, Administrator):
            return f"{result.email} of {result.organization} has the role ADMIN now, and the password it had."
        if isinstance(result, NotFound):
            password = await asyncio.to_thread(_password)
            made = await add_administrator(services, email=email, name=name, password=password, resume=resume)
            if isinstance(made, Administrator):
                return f"{made.email} is a new administrator, in the organisation {made.organization}."
            raise ConfigurationError(made.message)
        raise ConfigurationError(result.message)


def _password() -> str:
    """Never an argument, which other users of this machine can see. Raises `ConfigurationError`."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password of the new account: ")
    if getpass.getpass("Again: ") != password:
        raise ConfigurationError("The two passwords are not the same. Nothing was changed.")
    return password
