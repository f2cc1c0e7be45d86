"""What an attack costs the API, and what somebody notices who watches an answer meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from api_process import ApiProcess
from target import Attack, Target
from viewer import Viewer

WINDOW_SECONDS = 0.3
"""An attack is repeated for so long, one after another …"""
FEWEST = 3
"""… and at least so many times."""
TRIES = 3


@dataclass(frozen=True)
class Quiet:
    """While nobody attacks."""

    cpu_share: float
    """CPU seconds of a second, for the answer that is streamed and for keeping house."""
    gap: float
    """Seconds of the longest wait for text."""


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


async def measure(attack: Attack, door: Door, cpu: float, gap: float) -> Measured:
    """Attack for a while; again, where it took more than this: other programs only ever add to what is measured.

    The outcomes are those of every time.
    """
    outcomes: Counter[str] = Counter()
    for _ in range(TRIES):
        measured = await _measure(attack, door)
        outcomes += measured.outcomes
        if measured.within(cpu, gap):
            break
    return Measured(outcomes, measured.cpu, measured.gap, measured.pieces)


async def _measure(attack: Attack, door: Door) -> Measured:
    api, viewer = door.api, door.viewer
    outcomes: Counter[str] = Counter()
    await viewer.in_an_answer(4 * WINDOW_SECONDS)
    start, before = time.monotonic(), api.cpu_seconds()
    while time.monotonic() < start + WINDOW_SECONDS or outcomes.total() < FEWEST:
        outcomes[await attack.send(door.target)] += 1
    end, after = time.monotonic(), api.cpu_seconds()
    spent = after - before - door.quiet.cpu_share * (end - start)
    gap = await viewer.longest_gap(start, end)
    return Measured(outcomes, max(0.0, spent) / outcomes.total() / attack.parts, gap, viewer.pieces(start, end))
