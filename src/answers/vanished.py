"""How often an answer was begun by somebody who was never heard of again."""

from __future__ import annotations

from uuid import UUID

from core.ids import TenantId
from datastores import answer_attempts
from datastores.postgres import Postgres

MAX_ATTEMPTS = 3
"""Attempts whose producer vanished in the middle; those that it handed over do not count."""


async def vanished(postgres: Postgres, tenant_id: TenantId, answer_id: UUID, earlier: int) -> int:
    """How many of so many earlier attempts nobody ended; nobody looks while they are too few to matter."""
    if earlier < MAX_ATTEMPTS:
        return earlier
    async with postgres.read(tenant_id) as tx:
        return earlier - await answer_attempts.handed_over(tx, answer_id)
