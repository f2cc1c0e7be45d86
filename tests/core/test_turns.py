"""Large work rests, so that everything else that its loop does goes on."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from core.turns import REST_SECONDS, STRETCH_SECONDS, Gate, Turns


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


async def test_what_comes_at_once_begins_one_after_another_in_order_while_others_come_round() -> None:
    gate, rounds, begun = Gate(), 0, []

    async def piece(number: int) -> None:
        await gate.enter()
        begun.append((number, rounds))

    working = asyncio.gather(*(piece(number) for number in range(5)))
    while not working.done():
        rounds += 1
        await asyncio.sleep(0)
    assert [number for number, _ in begun] == list(range(5))
    assert all(later - earlier >= Gate.ROUNDS for (_, earlier), (_, later) in pairwise(begun))


async def test_who_comes_alone_does_not_wait() -> None:
    gate = Gate()
    for _ in range(3):
        entering = asyncio.create_task(gate.enter())
        await asyncio.sleep(0)
        assert entering.done()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("rounds", [0, 1, Gate.ROUNDS, Gate.ROUNDS + 1, 2 * Gate.ROUNDS])
async def test_the_gate_opens_again_whenever_somebody_who_waits_gives_up(rounds: int) -> None:
    gate = Gate()
    await gate.enter()
    waiting = [asyncio.create_task(gate.enter()) for _ in range(3)]
    for _ in range(rounds):
        await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait(waiting, timeout=1)
    assert all(task.done() for task in waiting)
    async with asyncio.timeout(1):
        await gate.enter()
