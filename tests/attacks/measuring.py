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


@dataclass(frozen=True)
class Door:
    """All that an attack is measured with."""

    target: Target
    api: ApiProcess
    viewer: Viewer
    quiet: Quiet


async def measure(attack: Attack, door: Door) -> Measured:
    """Attack, for a while."""
    api, viewer = door.api, door.viewer
    outcomes: Counter[str] = Counter()
    await viewer.in_an_answer(4 * WINDOW_SECONDS)
    start, cpu = time.monotonic(), api.cpu_seconds()
    while (now := time.monotonic()) < start + WINDOW_SECONDS or outcomes.total() < FEWEST:
        outcomes[await attack.send(door.target)] += 1
    spent = api.cpu_seconds() - cpu - door.quiet.cpu_share * (now - start)
    end = time.monotonic()
    gap = await viewer.longest_gap(start, end)
    return Measured(outcomes, max(0.0, spent) / outcomes.total() / attack.parts, gap, viewer.pieces(start, end))
