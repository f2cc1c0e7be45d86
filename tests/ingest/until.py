"""Waiting for what another process does, of which no event tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def until(condition: Callable[[], T]) -> T:
    """The first true value of `condition`. Raises TimeoutError after 10 s."""
    async with asyncio.timeout(10):
        while not (value := condition()):  # noqa: ASYNC110 - the kernel sets no asyncio event
            await asyncio.sleep(0.01)
        return value
