"""The whole database as its owner sees it, row-level security aside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from sqlmodel import SQLModel

from core.settings import Settings

AUDIT_LOG = "audit_log"
TENANT_TABLES = sorted(name for name, table in SQLModel.metadata.tables.items() if "tenant_id" in table.columns)


@asynccontextmanager
async def owner(settings: Settings) -> AsyncIterator[asyncpg.Connection[Any]]:
    """The owner's connection."""
    assert settings.database_owner_url is not None
    connection = await asyncpg.connect(settings.database_owner_url)
    try:
        yield connection
    finally:
        await connection.close()


async def contents(
    settings: Settings, tenant_id: UUID | None = None, *, audit_log: bool = False
) -> Mapping[str, tuple[int, str]]:
    """Per table the number of rows and a hash of them, with the transactions that wrote them; of one tenant or of all.

    Two equal results mean that no row was added, changed, removed, or even written again with the same values. The
    audit log is left out unless it is asked for: what is denied is in it.
    """
    result: dict[str, tuple[int, str]] = {}
    async with owner(settings) as connection:
        for table in ["tenants", *TENANT_TABLES]:
            if table == AUDIT_LOG and not audit_log:
                continue
            column = "id" if table == "tenants" else "tenant_id"
            row = await connection.fetchrow(
                f"SELECT count(*), md5(string_agg(md5(t.xmin::text || t::text), '' ORDER BY t.{column}, t.id)) "
                f'FROM "{table}" t WHERE $1::uuid IS NULL OR t.{column} = $1',
                tenant_id,
            )
            assert row is not None
            result[table] = (row[0], row[1] or "")
    return result
