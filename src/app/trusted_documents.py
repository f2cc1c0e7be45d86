"""Registering, listing and removing trusted documents."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.exc import ProgrammingError

from core.errors import ConfigurationError
from core.settings import Settings
from datastores import trusted_documents as store
from datastores.postgres import Postgres, Purpose
from datastores.postgres_url import app_url, platform_url
from datastores.probes import probe_postgres
from datastores.transactions import PlatformTransaction


async def add(settings: Settings, files: Sequence[Path]) -> list[str]:
    """Register the operations of files: a line for each. Raises `ConfigurationError`, and then none is registered."""
    # Imported here: it takes seconds, and the other commands need none of it.
    from schema.root import make_schema
    from schema.trusted_files import UnfitDocumentError, candidates, check

    known = make_schema(introspection=settings.introspection_enabled, settings=settings).documents
    found = {}
    for file in files:
        try:
            content = file.read_text(encoding="utf-8")
            for candidate in candidates(content, manifest=file.suffix == ".json"):
                check(candidate, known)
                found[candidate.hash] = candidate
        except OSError as error:
            raise ConfigurationError(f"{file}: {error.strerror}; nothing has been registered.") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{file}: it is not UTF-8; nothing has been registered.") from None
        except UnfitDocumentError as error:
            raise ConfigurationError(f"{file}: {error}; nothing has been registered.") from None
    async with _door(settings) as tx:
        await store.add(tx, [(each.hash, each.operation, each.text) for each in found.values()])
    return [f"{each.hash}  {each.operation or '(no name)'}" for each in found.values()]


async def registered(settings: Settings) -> list[str]:
    """A line for each registered document, the oldest first. Raises `ConfigurationError`."""
    async with _door(settings) as tx:
        rows = await store.registered(tx)
    return [f"{each.hash}  {each.added_at:%Y-%m-%dT%H:%M:%SZ}  {each.name or '(no name)'}" for each in rows]


async def remove(settings: Settings, key: str) -> None:
    """Forget a document. Raises `ConfigurationError` when there is none with this hash."""
    async with _door(settings) as tx:
        if not await store.remove(tx, key):
            raise ConfigurationError(f"no document has the hash {key[:70]!r}; `colloquy documents list` prints them.")


@asynccontextmanager
async def _door(settings: Settings) -> AsyncGenerator[PlatformTransaction, None]:
    """The platform's door. Raises `ConfigurationError` when it cannot be opened."""
    app_url(settings)
    await probe_postgres(settings, "DATABASE_PLATFORM_URL", platform_url(settings))
    postgres = Postgres(settings)
    try:
        async with postgres.platform(Purpose.TRUSTED_DOCUMENTS) as tx:
            yield tx
    except ProgrammingError:
        raise ConfigurationError("DATABASE_URL: its tables are of another version; `colloquy migrate` first.") from None
    finally:
        await postgres.aclose()
