"""The audit log's months, made ahead."""

from __future__ import annotations

from typing import Any

import structlog

from datastores.audit import ensure_partitions
from datastores.postgres import Purpose
from jobs.services import JobServices

log = structlog.get_logger(__name__)


async def make_audit_partitions(ctx: dict[str, Any]) -> int:
    """Run each day by a worker; how many months were missing. Until it runs, rows wait in the default partition."""
    services: JobServices = ctx["services"]
    async with services.postgres.platform(Purpose.AUDIT) as tx:
        made = await ensure_partitions(tx)
    if made:
        log.info("audit partitions made", months=made)
    return made
