"""What an attack costs the API, and what somebody notices who watches an answer meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace

import asyncpg
from target import Attack, Target
from viewer import Viewer

from api_process import ApiProcess

WINDOW_SECONDS = 0.1
"""An attack is repeated for so long, one after another."""
ROOM = 12
"""So many times as long the answer must still go on: on a busy machine the last attack ends late."""
TRIES = 3


@dataclass(frozen=True)
class Quiet:
    """While nobody attacks."""

    cpu_share: float
    """CPU seconds of a second, for the answer that is streamed and for keeping house."""
    gap: float
    """Seconds of the longest wait for text."""
    honest: Measured
    """An honest page, opened for the first time."""


@dataclass(frozen=True)
class Measured:
    """What came back, in mean CPU seconds each; and the longest wait of the viewer."""

    outcomes: Counter[str]
    cpu: float
    gap: float
    pieces: int
    """Of the answer, that came meanwhile."""

    def within(self, cpu: float, gap: float) -> bool:
        """Whether it cost no more, and nobody waited longer."""
        return self.cpu <= cpu and self.gap <= gap and self.pieces > 0


@dataclass(frozen=True)
class Door:
    """All that an attack is measured with."""

    target: Target
    api: ApiProcess
    viewer: Viewer
    quiet: Quiet
    owner: asyncpg.Connection
    """Sees every row."""


async def measure(attack: Attack, door: Door, cpu: float, gap: float) -> Measured:
    """Attack for a while; again, where it took more than this: other programs only ever add to what is measured.

    The outcomes are those of every time.
    """
    outcomes: Counter[str] = Counter()
    for _ in range(TRIES):
        measured = await measure_once(attack, door.target, door.api, door.viewer, door.quiet.cpu_share)
        outcomes += measured.outcomes
        if measured.within(cpu, gap):
            break
    return replace(measured, outcomes=outcomes)


async def measure_once(
    attack: Attack, target: Target, api: ApiProcess, viewer: Viewer, quiet_cpu_share: float
) -> Measured:
    """Attack for a while."""
    outcomes: Counter[str] = Counter()
    await viewer.in_an_answer(ROOM * WINDOW_SECONDS)
    start, before = time.monotonic(), api.cpu_seconds()
    while time.monotonic() < start + WINDOW_SECONDS or outcomes.total() < attack.fewest:
        outcomes[await attack.send(target)] += 1
    end, after = time.monotonic(), api.cpu_seconds()
    spent = max(0.0, after - before - quiet_cpu_share * (end - start))
    gap = await viewer.longest_gap(start, end)
    return Measured(outcomes, spent / outcomes.total() / attack.parts, gap, viewer.pieces(start, end))
