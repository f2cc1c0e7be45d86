"""What an operator could see and do behind the product's back: SQL as the owner of the tables, and files on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from core.ids import parse_global
from core.settings import Settings


async def as_owner(settings: Settings, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement past row-level security; its rows."""
    connection = await asyncpg.connect(settings.database_owner_url)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


async def counts(settings: Settings) -> dict[str, int]:
    """Rows of the tables that documents fill, of all tenants."""
    tables = ("documents", "document_pages", "chunks", "embeddings", "assistant_documents")
    columns = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    (row,) = await as_owner(settings, f"SELECT {columns}")
    return dict(zip(tables, row, strict=True))


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it is so; pytest's time limit for the test bounds it."""
    while not await look():  # noqa: ASYNC110 - it happens in another process, where there is nothing to wait for
        await asyncio.sleep(0.02)


def kept_files(settings: Settings) -> list[Path]:
    """Every file in the storage of originals, whole or not."""
    return [path for path in (settings.data_dir / "files").rglob("*") if path.is_file()]


def uuid_of(global_id: str) -> UUID:
    """What an opaque id names."""
    return parse_global(global_id)[1]
