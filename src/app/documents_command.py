"""`colloquy documents add | list | remove`: the operations that clients may ask for by their hash."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from app.embedded.running import with_embedded_servers
from core.settings import Settings, settings_from_environment

documents = typer.Typer(help="Trusted documents: operations that clients ask for by hash.", no_args_is_help=True)


@documents.command("add")
def add_command(
    files: Annotated[
        list[Path], typer.Argument(help=".graphql files, or .json manifests of Apollo or Relay.", show_default=False)
    ],
) -> None:
    """Register the operations of files; all of them, or, when one is not valid, none."""
    from app.trusted_documents import add  # here, as below: it takes seconds

    for line in asyncio.run(add(_settings(), files)):
        print(line)


@documents.command("list")
def list_command() -> None:
    """Print hash, time and name of each registered document."""
    from app.trusted_documents import registered

    for line in asyncio.run(registered(_settings())):
        print(line)


@documents.command("remove")
def remove_command(
    hash: Annotated[str, typer.Argument(help="As `colloquy documents list` prints it.", show_default=False)],
) -> None:
    """Forget a document; API processes do so within CACHE_TTL_TRUSTED_DOCUMENTS seconds."""
    from app.trusted_documents import remove

    asyncio.run(remove(_settings(), hash.removeprefix("sha256:")))


def _settings() -> Settings:
    return with_embedded_servers(settings_from_environment())
