"""Large work rests, so that everything else that its loop does goes on."""

from __future__ import annotations

import asyncio
import time

from core.turns import REST_SECONDS, STRETCH_SECONDS, Turns


def work(seconds: float) -> None:
    """Use the CPU for so long."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def test_work_rests_after_each_stretch_and_others_come_round_often() -> None:
    turns, rounds = Turns(), 0

    async def large() -> None:
        for _ in range(8):
            await turns.wait()
            work(STRETCH_SECONDS * 0.6)

    working = asyncio.create_task(large())
    while not working.done():
        rounds += 1
        await asyncio.sleep(REST_SECONDS / 5)
    # Three rests at least; without them the loop comes round twice.
    assert rounds >= 3 * 3


async def test_a_stretch_is_everybodys_and_each_goes_on_in_its_order() -> None:
    turns = Turns()
    ended: list[tuple[int, float]] = []

    async def one(number: int) -> None:
        await turns.wait()
        work(STRETCH_SECONDS * 0.6)
        ended.append((number, time.monotonic()))

    await asyncio.gather(*(one(number) for number in range(6)))
    assert [number for number, _ in ended] == list(range(6))
    # Two in a stretch, then all rest.
    times = [at for _, at in ended]
    assert all(times[later] - times[later - 1] > REST_SECONDS for later in (2, 4))


async def test_whoever_is_cancelled_while_resting_keeps_nobody_from_going_on() -> None:
    turns = Turns()
    first, second = asyncio.create_task(turns.wait()), asyncio.create_task(turns.wait())
    await asyncio.sleep(0)
    assert not first.done()
    first.cancel()
    await second
    assert first.cancelled()
