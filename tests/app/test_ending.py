"""A process that was told to end ends, whatever its event loop does."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.ending import FORCED_STATUS

SRC = Path(__file__).parents[2] / "src"
HANGS = """
import asyncio, time
from app import ending
ending.GRACE_SECONDS, ending.MARGIN_SECONDS = 0, 0.2

async def main():
    told = asyncio.Event()
    with ending.told_at_signals() as signals:
        {start}
        signals.begin_end_by(told.set)
        print("ready", flush=True)
        await told.wait()
        print("told", flush=True)
        {then}

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def _told(then: str, number: int, start: str = "pass") -> tuple[int, list[str]]:
    """Exit status and lines of a process that is ready after that, is sent a signal, and then does that."""
    command = (sys.executable, "-c", HANGS.format(start=start, then=then))
    with subprocess.Popen(command, cwd=SRC, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        lines = process.stdout.read().splitlines()
        return process.wait(), lines


def test_one_whose_loop_hangs_is_ended_by_force_at_its_time() -> None:
    # The loop is held up by a call that is no coroutine, for longer than the end may take.
    status, lines = _told("time.sleep(60)", signal.SIGTERM)
    assert status == FORCED_STATUS
    assert lines[0] == "told"
    assert "ended by force" in lines[-1]


def test_one_that_ends_in_time_ends_by_itself() -> None:
    assert _told("pass", signal.SIGTERM) == (0, ["told"])


def test_whoever_handled_the_signal_before_is_called_as_well() -> None:
    status, lines = _told("await asyncio.sleep(0)", signal.SIGINT)
    assert status == 0
    assert lines == ["interrupted"] or lines == ["told", "interrupted"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_has_not_begun_ends_at_once_whatever_it_waits_for(number: int) -> None:
    # As one that asks a server which does not answer: for far longer than a test may take.
    start = 'print("ready", flush=True); time.sleep(60)'
    assert _told("pass", number, start) == (-number, [])
