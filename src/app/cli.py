"""The command line: `colloquy run | serve | work | migrate | ask | admin | …`; `colloquy --help` lists all."""

from __future__ import annotations

import asyncio
import signal
import sys

import typer
from pydantic import ValidationError

from app.administrators import admin
from app.documents_command import documents
from app.mail_links import require_mail_links
from app.provider_keys_command import provider_keys
from app.quota_command import quota_command
from app.reembed_command import reembed_command
from app.terminal.command import ask_command
from core.errors import ConfigurationError
from core.settings import settings_from_environment
from datastores.storage.opening import check_storage_settings

app = typer.Typer(
    help="Colloquy: answers from your documents, streamed over GraphQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("ask")(ask_command)
app.command("quota")(quota_command)
app.command("reembed")(reembed_command)
app.add_typer(admin, name="admin")
app.add_typer(documents, name="documents")
app.add_typer(provider_keys, name="provider-keys")


@app.command()
def run() -> None:
    """Start everything on this machine, embedded servers included, and print where it is."""
    from app.running.programs import Programs
    from app.supervisor import run as supervise

    settings = settings_from_environment()
    require_mail_links(settings)
    check_storage_settings(settings)
    if settings.secret_key or settings.database_url or settings.redis_url or settings.s3_bucket:
        # Imported here: it takes seconds, and what the run brings itself needs no check.
        from app.preflight import check_run

        asyncio.run(check_run(settings))
    raise typer.Exit(supervise(settings, Programs()))


@app.command()
def serve(
    processes: int | None = typer.Option(None, min=1, help="How many on one port; PROCESSES, or 1, if not given."),
) -> None:
    """Serve the API."""
    settings = settings_from_environment()
    count = processes or settings.processes
    if count > 1:
        # Before everything is imported, which takes seconds: it is to replace processes, and none is there.
        signal.signal(signal.SIGHUP, lambda *_: None)
    from app.server import serve as serve_api

    raise typer.Exit(serve_api(settings, count))


@app.command()
def work() -> None:
    """Run background jobs."""
    from app.preflight import check_servers
    from app.worker import run_until_signal
    from core.logging import configure_logging

    settings = settings_from_environment()
    configure_logging(production=settings.environment == "production")
    asyncio.run(check_servers(settings))
    asyncio.run(run_until_signal(settings))


@app.command()
def migrate(revision: str = typer.Argument("head", help="`head`, or `base` to take everything down.")) -> None:
    """Bring the database to the newest schema, and give each vector space its index."""
    from app.preflight import check_migrate
    from datastores.migrate import migrate as run_migrations
    from datastores.vector_indexes import make_indexes
    from providers.registry import Providers

    settings = settings_from_environment()
    asyncio.run(check_migrate(settings))
    asyncio.run(run_migrations(settings, revision))
    if revision == "head":
        for space in asyncio.run(make_indexes(settings, Providers(settings).spaces())):
            print(f"index made for the vectors of {space}")


@app.command()
def seed() -> None:
    """Make the demo tenant, its log-ins and documents."""
    from app.preflight import check_servers
    from app.seed import seed as make_demo
    from core.logging import configure_logging

    settings = settings_from_environment()
    configure_logging(production=settings.environment == "production")
    asyncio.run(check_servers(settings))
    asyncio.run(make_demo(settings))


@app.command()
def schema() -> None:
    """Print the GraphQL schema, as `schema.graphql` has it."""
    from schema.root import print_schema

    print(print_schema(), end="")


@app.command()
def permissions() -> None:
    """Print who may do what, as `docs/permissions.md` has it."""
    from app.permissions import permissions_page

    print(permissions_page(), end="")


WRONG_SETTING = 2


def main() -> None:
    """Entry point: what is wrong with the set-up is one line and exit status 2, never a traceback."""
    try:
        app()
    except ConfigurationError as error:
        print(f"colloquy: {error}", file=sys.stderr)
        sys.exit(WRONG_SETTING)
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0]).upper() if problem["loc"] else "settings"
            print(f"colloquy: {name}: {problem['msg']}.", file=sys.stderr)
        sys.exit(WRONG_SETTING)


if __name__ == "__main__":
    main()
