"""How often an answer was begun by somebody who was never heard of again."""

from __future__ import annotations

from uuid import UUID

import structlog

from core.errors import ErrorCode
from core.ids import TenantId
from datastores import answer_attempts
from datastores.answer_events import Failed
from datastores.postgres import Postgres

MAX_ATTEMPTS = 3
"""Attempts whose producer vanished in the middle; those that it handed over do not count."""
log = structlog.get_logger(__name__)


async def interrupted_too_often(
    postgres: Postgres, tenant_id: TenantId, answer_id: UUID, *, earlier: int
) -> Failed | None:
    """How an answer fails of whose so many earlier attempts too many were ended by nobody; None: it may be begun.

    Nobody looks while they are too few to matter.
    """
    if earlier < MAX_ATTEMPTS:
        return None
    async with postgres.read(tenant_id) as tx:
        vanished = earlier - await answer_attempts.handed_over(tx, answer_id)
    if vanished < MAX_ATTEMPTS:
        return None
    log.warning("answer failed", answer=answer_id.hex, code=ErrorCode.INTERRUPTED.value)
    return Failed(answer_id, ErrorCode.INTERRUPTED, "The answer was interrupted too often. Ask again.", retryable=True)
