"""Find documents whose worker died, or whose wake-up was lost, and wake a worker for them."""

from __future__ import annotations

from typing import Any

from datastores import ingestion
from datastores.postgres import Purpose
from jobs.services import JobServices

_BATCH = 16
"""More than there are places for at once, and whoever is woken goes on by itself: many may wait for their turn."""


async def sweep_documents(ctx: dict[str, Any]) -> int:
    """Run every few seconds by each worker; how many documents were found. A job asked for twice runs once."""
    services: JobServices = ctx["services"]
    async with services.postgres.platform(Purpose.SWEEP) as tx:
        found = await ingestion.unfinished(tx, _BATCH)
    for tenant_id, document_id, epoch in found:
        await services.queue.ingest_document(tenant_id, document_id, epoch)
    return len(found)
