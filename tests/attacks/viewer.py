"""What somebody sees who watches answers while others attack: when each piece came, and the longest time without."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

WORD_MS = 20.0
ANSWER_WORDS = 390
"""Of an answer to `text`, which takes eight seconds on a quiet machine."""
_SCRIPT = Path(__file__).with_name("watch_answers.py")
_PATIENCE = 30.0
"""Seconds; it only bounds a failure."""


def text() -> bytes:
    """Three passages of one long sentence each, in short words: their quotation is a long stream."""
    words = "we go by it as it is up to us to do so or no if at an ox is in it"
    sentences = (f"This document is about day {day}: " + " ".join([words] * 7) + "." for day in range(1, 4))
    return "\n\n".join(sentences).encode()


class Viewer:
    """Watches from a process of its own: the attacker's work is not taken for a stall."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answer: list[float] = []
        """Arrivals of the answer that is running; empty between two."""
        self._gaps: list[tuple[float, float]] = []
        """Beginning and end of each time without text within an answer."""
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, url: str, token: str) -> Viewer:
        """Begin to watch."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, _SCRIPT, url, token, stdout=asyncio.subprocess.PIPE
        )
        return cls(process)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            async with self._news:
                if line == b"end\n":
                    self._answer = []
                else:
                    arrived = float(line)
                    if self._answer:
                        self._gaps.append((self._answer[-1], arrived))
                    self._answer.append(arrived)
                self._news.notify_all()

    async def in_an_answer(self, seconds: float) -> None:
        """Wait for an answer that goes on for so long."""

        words = seconds * 1000 / WORD_MS
        await self._until(lambda: 0 < len(self._answer) < ANSWER_WORDS - words)

    async def longest_gap(self, start: float, end: float) -> float:
        """Seconds of the longest wait for text that overlaps this time; waits for its end."""
        await self._until(lambda: not self._answer or self._answer[-1] > end)
        return max((until - since for since, until in self._gaps if until > start and since < end), default=0.0)

    def pieces(self, start: float, end: float) -> int:
        """How many pieces came in this time."""
        return sum(start < until <= end for _, until in self._gaps)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE), self._news:
            await self._news.wait_for(lambda: is_so() or self._reading.done())
        assert not self._reading.done(), "the viewer has ended"

    async def stop(self) -> None:
        """End it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading
