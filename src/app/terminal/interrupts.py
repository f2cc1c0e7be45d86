"""Ctrl-C in two steps: the first asks for something, the second leaves."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from core.tasks import end_tasks


@asynccontextmanager
async def ctrl_c_first(do: Callable[[], Coroutine[Any, Any, None]]) -> AsyncGenerator[None, None]:
    """Inside the block the first Ctrl-C begins this, and each further one raises KeyboardInterrupt.

    A block that ends by itself waits for what was begun. Where signals cannot be had (Windows, or not in the main
    thread), Ctrl-C does what it did before.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    begun: list[asyncio.Task[None]] = []
    pressed = 0

    def press() -> None:
        nonlocal pressed
        pressed += 1
        if pressed == 1:
            begun.append(loop.create_task(do()))
        else:
            task.cancel()

    before = signal.getsignal(signal.SIGINT)
    try:
        loop.add_signal_handler(signal.SIGINT, press)
    except (NotImplementedError, RuntimeError, ValueError):
        # A platform or a thread in which no signal can be handled (asyncio says so in these three ways): Ctrl-C then
        # does what Python lets it do.
        yield
        return
    try:
        yield
        await asyncio.gather(*begun)
    except asyncio.CancelledError:
        if pressed < 2:
            raise
        raise KeyboardInterrupt from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
        await end_tasks(begun)
