"""Remove the files of deleted documents, and of uploads that came to nothing, where whoever was to do it could not."""

from __future__ import annotations

from typing import Any

import structlog

from core.ids import TenantId
from datastores import file_removals, outbox
from datastores.postgres import Purpose
from datastores.storage.base import StorageError
from jobs.services import JobServices

BATCH = 100
log = structlog.get_logger(__name__)


async def sweep_files(ctx: dict[str, Any]) -> int:
    """Run every few seconds by each worker; how many files were removed. A file that is gone already counts."""
    services: JobServices = ctx["services"]
    removed = 0
    for _ in range(BATCH):
        async with services.postgres.platform(Purpose.SWEEP) as tx:
            entry = await file_removals.claim(tx)
        if entry is None:
            break
        try:
            await services.files.delete(TenantId(entry.tenant_id), entry.id)
        except StorageError as error:
            log.warning("file not removed yet", document=entry.id.hex, error=str(error))
            async with services.postgres.platform(Purpose.SWEEP) as tx:
                await outbox.postpone(tx, entry, file_removals.RETRY, type(error).__name__)
            continue
        async with services.postgres.platform(Purpose.SWEEP) as tx:
            await outbox.delivered(tx, entry)
        removed += 1
    return removed
