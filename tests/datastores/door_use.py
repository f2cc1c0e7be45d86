"""Ordinary work at the doors, and the end of a connection."""

from __future__ import annotations

import asyncpg
import sqlalchemy as sa

from core.ids import TenantId
from core.settings import Settings
from datastores.models import Assistant
from datastores.postgres import Postgres

NAMES = sa.text("SELECT name FROM assistants ORDER BY name")


async def names(doors: Postgres, tenant_id: TenantId) -> list[str]:
    """The tenant's assistants, in a transaction of their own."""
    async with doors.read(tenant_id) as tx:
        return [row[0] for row in await tx.rows(NAMES)]


async def add(doors: Postgres, tenant_id: TenantId, name: str, error: Exception | None = None) -> None:
    """Add an assistant through the write door, and raise inside of it if told to."""
    async with doors.write(tenant_id) as tx:
        tx.session.add(Assistant(tenant_id=tenant_id, name=name))
        if error is not None:
            await tx.session.flush()
            raise error


async def kill(settings: Settings, backend: int) -> None:
    """End a server process as the same role, as an administrator or a failover would."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        assert await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", backend)
    finally:
        await connection.close()
