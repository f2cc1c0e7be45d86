"""A time limit that counts what others take."""

from __future__ import annotations

import asyncio
import time

import pytest

from core.own_time import others_within

SECONDS = 0.1


async def test_what_does_not_come_is_given_up() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with others_within(SECONDS):
            await asyncio.Event().wait()
    assert time.monotonic() - began >= SECONDS


async def test_what_a_busy_loop_comes_to_late_is_not() -> None:
    reply = asyncio.Event()

    async def work() -> None:
        for _ in range(3):
            time.sleep(SECONDS)  # noqa: ASYNC251 - other people's work, on this loop
            await asyncio.sleep(0)
        reply.set()

    working = asyncio.create_task(work())
    async with others_within(SECONDS):
        await reply.wait()
    await working


async def test_a_cancellation_is_no_timeout() -> None:
    async def ask() -> None:
        async with others_within(SECONDS):
            await asyncio.Event().wait()

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
