"""`colloquy ask` as a typer command; the command line registers it with `app.command("ask")(ask_command)`."""

from __future__ import annotations

import getpass
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.terminal.ask import ask


def ask_command(
    question: Annotated[str, typer.Argument(help="What to ask, in quotes.", show_default=False)],
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", help="A PDF, Word, EPUB, HTML, CSV or text file to upload first.", show_default=False
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", help="The server. By default COLLOQUY_URL, else the one that `make run` starts here."),
    ] = None,
    email: Annotated[
        str | None,
        typer.Option("--email", help="Who asks. By default COLLOQUY_EMAIL, else the demo log-in of a local server."),
    ] = None,
    password: Annotated[
        str | None,
        typer.Option("--password", help="By default COLLOQUY_PASSWORD, which other users of this machine cannot see."),
    ] = None,
    conversation: Annotated[
        str | None, typer.Option("--conversation", help="The id of a conversation to go on with.", show_default=False)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document at the end and nothing else.")
    ] = False,
) -> None:
    """Ask a question and watch the answer arrive, with the quotes that it rests on.

    Ctrl-C stops the answer, and pressed again leaves.

    Exit code: 0 answered or stopped, 1 failed, 2 wrong usage, 130 interrupted.
    """
    for name in ("gql", "websockets", "aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what they would log, the command says in its own words
    if (email or os.environ.get("COLLOQUY_EMAIL")) and not (password or os.environ.get("COLLOQUY_PASSWORD")):
        password = _ask_for_password() or password
    raise typer.Exit(ask(question, file, url, email, password, conversation, as_json))


def _ask_for_password() -> str | None:
    """Typed in at the terminal; None where there is none to ask."""
    if not sys.stdin.isatty():
        return None
    try:
        return getpass.getpass("Password: ")
    except (EOFError, KeyboardInterrupt):
        raise typer.Exit(130) from None
