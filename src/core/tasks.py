"""Ending tasks for sure."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar

_AGAIN_SECONDS = 0.5
T = TypeVar("T")


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end; what they raise is dropped.

    A cancellation can be lost in a library (redis-py 5.3 on Python 3.11 swallows one that comes together with the
    wake-up it waits for), so a task that goes on is cancelled again.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_AGAIN_SECONDS)
        for task in done:
            if not task.cancelled():
                task.exception()


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What the work returns or raises. Whoever is cancelled waits for its end none the less, and is cancelled then."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # it has been looked at
    raise cancelled


async def see_through(work: Coroutine[Any, Any, None], seconds: float) -> None:
    """Do a task's last work, however often the task is cancelled meanwhile (`end_tasks` does it twice a second).

    Given up after so many seconds; raises what the work raises.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    until = loop.time() + seconds
    while not task.done() and (left := until - loop.time()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=left)
    if task.done():
        task.result()
    else:
        await end_tasks([task])
