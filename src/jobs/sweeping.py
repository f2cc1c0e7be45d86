"""What the jobs that run every few seconds have in common: one that cannot run now is run the next time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import structlog
from arq.typing import WorkerCoroutine

from datastores.outages import is_outage
from datastores.redis_client import REDIS_ERRORS

log = structlog.get_logger(__name__)


def skipped_in_outages(sweep: Callable[[dict[str, Any]], Coroutine[Any, Any, object]]) -> WorkerCoroutine:
    """The sweep, which says in one line that PostgreSQL or Redis is away, and is None then."""

    @wraps(sweep)
    async def run(ctx: dict[Any, Any], *_: Any, **__: Any) -> object:
        try:
            return await sweep(ctx)
        except Exception as error:
            if not is_outage(error) and not isinstance(error, REDIS_ERRORS):
                raise
            log.warning("sweep skipped", sweep=run.__name__, error=type(error).__name__)
            return None

    return run
