"""`serve --processes` while some of its processes are frozen: it waits for none of them, and ends in its time."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable

import psutil
import pytest
from asking import StartApi

from api_process import ApiProcess
from app.ending import GRACE_SECONDS, MARGIN_SECONDS
from product import Person

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]
END_SECONDS = GRACE_SECONDS + MARGIN_SECONDS
SPARE_SECONDS = 1.0
"""For a busy machine. The parent's own clock ends it, so there is nothing to multiply."""
HANG_SECONDS = 20.0
"""Of `app.server`: so long may a process leave a ping without an answer."""
BUSY = 3
"""The machine may be slower than its clock: what has no clock of ours has so many times as long."""
START_SECONDS = BUSY * 5.0


@pytest.fixture
async def api(start_api: StartApi, reader: Person) -> AsyncIterator[ApiProcess]:
    """Two processes that serve. The reader has had the local model built, which nothing here is to wait for."""
    api = await start_api("--processes", "2")
    said = ""

    def both_are_ready() -> bool:
        nonlocal said
        said += api.said()
        return said.count("process ready") == 2

    await within(START_SECONDS, both_are_ready)
    started = api.serving
    yield api
    for process in started:
        if process.is_running():
            process.kill()  # one that is frozen is not told that its parent has ended


async def within(seconds: float, happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(seconds):
        while not happened():  # noqa: ASYNC110 - other processes: there is nothing to wait on
            await asyncio.sleep(0.05)


async def frozen_and_pinged(process: psutil.Process) -> None:
    """Freeze it, and let its parent ask it for a sign of life, which it does at least once a second."""
    process.suspend()
    await asyncio.sleep(2)


def gone(process: psutil.Process) -> bool:
    """Not even a zombie."""
    return not process.is_running()


def ended(process: psutil.Process) -> bool:
    try:
        return gone(process) or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def serving_pids(api: ApiProcess) -> set[int]:
    return {process.pid for process in api.serving}


async def test_a_frozen_process_does_not_hold_up_the_end(api: ApiProcess) -> None:
    frozen, other = api.serving
    await frozen_and_pinged(frozen)
    told = time.monotonic()
    api.send(signal.SIGTERM)
    # The other one is told at once.
    await within(GRACE_SECONDS, lambda: ended(other))
    await api.ended(END_SECONDS + SPARE_SECONDS - (time.monotonic() - told))
    assert gone(frozen)
    assert gone(other)


async def test_one_that_is_killed_is_replaced_at_once_while_another_is_frozen_and_that_one_in_its_time(
    api: ApiProcess,
) -> None:
    frozen, killed = api.serving
    await frozen_and_pinged(frozen)
    killed.kill()
    await within(BUSY * 1.0, lambda: bool(serving_pids(api) - {frozen.pid, killed.pid}))
    assert frozen.status() == psutil.STATUS_STOPPED
    (third,) = serving_pids(api) - {frozen.pid, killed.pid}
    await within(HANG_SECONDS + START_SECONDS, lambda: len(serving_pids(api) - {frozen.pid, killed.pid}) == 2)
    await within(BUSY * 1.0, lambda: gone(frozen))
    assert third in serving_pids(api)


async def test_the_end_does_not_wait_for_a_replacement(api: ApiProcess) -> None:
    before = serving_pids(api)
    api.send(signal.SIGHUP)
    await within(START_SECONDS, lambda: len(api.serving) == 3)
    (successor,) = (process for process in api.serving if process.pid not in before)
    successor.suspend()  # it is never ready
    try:
        await asyncio.sleep(1)  # until its parent waits for that
        api.send(signal.SIGTERM)
        await api.ended(END_SECONDS + SPARE_SECONDS)
        assert gone(successor)
    finally:
        if successor.is_running():
            successor.kill()


async def test_a_frozen_process_is_replaced_with_all_others_and_killed_after_the_grace_period(api: ApiProcess) -> None:
    before = serving_pids(api)
    frozen = api.serving[0]
    frozen.suspend()
    api.send(signal.SIGHUP)
    # Two starts, one end after the whole grace period, one in order.
    await within(
        2 * START_SECONDS + 2 * END_SECONDS,
        lambda: len(api.serving) == 2 and not serving_pids(api) & before,
    )
    await within(BUSY * 1.0, lambda: gone(frozen))
