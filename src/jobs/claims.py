"""What every job does with the claim that it works under."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from core.tasks import see_through
from datastores.outages import when_back

RELEASE_SECONDS: Final = 3.0
"""How long a worker that shuts down tries to give back what it has claimed."""


@asynccontextmanager
async def given_back(release: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    """Inside the block a claim is worked under. When the worker shuts down, `release` gives it back.

    The next worker need not wait then until the claim looks dead. Raises what the block raises.
    """
    try:
        yield
    except asyncio.CancelledError:
        await see_through(when_back(release), RELEASE_SECONDS)
        raise
