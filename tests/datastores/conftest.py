"""What tests of the doors share: a tenant without anything, and doors with one connection."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from core.ids import TenantId, new_id
from core.settings import Settings
from datastores.postgres import Postgres


@pytest.fixture
async def tenant(settings: Settings) -> TenantId:
    """A tenant without anything."""
    tenant_id = TenantId(new_id())
    connection = await asyncpg.connect(settings.database_owner_url)
    await connection.execute(
        "INSERT INTO tenants (id, name, embedding_model_id, keep_originals) VALUES ($1, 'Org', 'model', true)",
        tenant_id,
    )
    await connection.close()
    return tenant_id


@pytest.fixture
async def single(settings: Settings) -> AsyncIterator[Postgres]:
    """Doors with one connection to share: whoever fails to give it back is found out."""
    doors = Postgres(settings.model_copy(update={"database_pool_size": 1, "database_pool_overflow": 0}))
    yield doors
    await doors.aclose()
