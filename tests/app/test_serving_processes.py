"""Several processes and the one that looks after them, with a small application in place of the product's."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from stand_in_server import LIMIT_SECONDS
from waiting import until

from app.ending import FORCED_STATUS, GRACE_SECONDS, MARGIN_SECONDS

pytestmark = pytest.mark.timeout(60)  # up to five starts of an interpreter, one after another
TESTS = Path(__file__).parent
SRC = TESTS.parents[1] / "src"
END_SECONDS = GRACE_SECONDS + MARGIN_SECONDS
SPARE_SECONDS = 1.0


class Running:
    """The parent, its children, and what it says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = folder / "log"
        command = (sys.executable, TESTS / "stand_in_server.py", folder)
        with self._log.open("wb") as output:
            # Its own group: a stop of the whole group is no stop of ours.
            self.process = subprocess.Popen(
                command, stderr=output, env={"PYTHONPATH": f"{SRC}:{TESTS}"}, start_new_session=True
            )

    def children(self) -> list[psutil.Process]:
        """Those that serve or start, without the one in which Python counts shared resources."""
        found = psutil.Process(self.process.pid).children()
        return [child for child in found if "spawn_main" in " ".join(_command_line(child))]

    def pids(self) -> set[int]:
        return {child.pid for child in self.children()}

    def ready(self) -> set[int]:
        """Of those that have started and are there."""
        return {pid for pid in self.pids() if (self.folder / f"started-{pid}").exists()}

    def said(self) -> str:
        return self._log.read_text()

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        left = psutil.Process(self.process.pid).children() if self.process.poll() is None else []
        self.process.kill()
        self.process.wait()
        for child in left:
            if child.is_running():
                child.kill()


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # it has just ended


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def two(starting: Running) -> Running:
    """Both are ready."""
    until(lambda: len(starting.ready()) == 2)
    return starting


def test_one_that_cannot_start_ends_all(tmp_path: Path) -> None:
    (tmp_path / "fail").touch()
    running = Running(tmp_path)
    try:
        assert running.process.wait(END_SECONDS + SPARE_SECONDS) == 1
    finally:
        running.stop()
    assert "process could not start" in running.said()


@pytest.mark.long
def test_one_that_cannot_start_for_a_while_ends_nobody_who_serves(two: Running) -> None:
    until(lambda: two.said().count("process ready") == 2)
    (two.folder / "fail").touch()
    gone, other = sorted(two.ready())
    os.kill(gone, signal.SIGKILL)
    until(lambda: two.said().count("process could not start") >= 2)
    assert other in two.pids()
    (two.folder / "fail").unlink()
    until(lambda: len(two.ready() & two.pids()) == 2)
    assert other in two.pids()


def test_a_signal_ends_all_in_order(two: Running) -> None:
    children = two.children()
    two.send(signal.SIGINT)
    assert two.process.wait(END_SECONDS) == 0
    assert not any(child.is_running() for child in children)
    assert "killed" not in two.said()


def test_a_signal_is_heard_while_they_start(tmp_path: Path) -> None:
    (tmp_path / "wait").touch()
    running = Running(tmp_path)
    try:
        until(lambda: len(running.children()) == 2)
        running.send(signal.SIGTERM)
        running.process.wait(END_SECONDS + SPARE_SECONDS)
    finally:
        running.stop()


@pytest.mark.long
def test_who_has_to_be_killed_at_the_end_is_told_by_its_status(two: Running) -> None:
    frozen = two.children()[0]
    frozen.suspend()
    began = time.monotonic()
    two.send(signal.SIGTERM)
    assert two.process.wait(END_SECONDS + SPARE_SECONDS) == FORCED_STATUS
    assert time.monotonic() - began > END_SECONDS - SPARE_SECONDS
    assert not frozen.is_running()
    assert "did not end within its grace period" in two.said()


@pytest.mark.long
def test_one_that_gives_no_sign_of_life_is_replaced(two: Running) -> None:
    frozen, other = two.children()
    frozen.suspend()
    until(lambda: len(two.ready() - {frozen.pid}) == 2)
    assert other.pid in two.ready()
    until(lambda: not frozen.is_running())
    assert "gave no sign of life" in two.said()


@pytest.mark.long
def test_a_standstill_of_the_whole_machine_is_nobody_s_silence(two: Running) -> None:
    before = two.children()
    parent = psutil.Process(two.process.pid)
    for child in before:
        child.suspend()
    time.sleep(1)  # until a ping is without an answer
    parent.suspend()
    time.sleep(LIMIT_SECONDS)  # the standstill itself: longer than a process may be silent
    parent.resume()
    time.sleep(0.5)  # it looks before anybody can have answered
    for child in before:
        child.resume()
    time.sleep(1)  # whoever was to be killed has been by now
    assert two.pids() == {child.pid for child in before}


def test_each_is_replaced_by_one_that_is_ready_before(two: Running) -> None:
    before = two.ready()
    two.send(signal.SIGHUP)
    fewest = 2

    def all_new() -> bool:
        nonlocal fewest
        ready = two.ready()
        fewest = min(fewest, len(ready))
        return len(ready) == 2 and not ready & before

    until(all_new)
    assert fewest == 2


@pytest.mark.long
@pytest.mark.parametrize("how", ["fail", "wait"])
def test_one_that_does_not_get_ready_replaces_nobody(two: Running, how: str) -> None:
    before = two.ready()
    (two.folder / how).touch()
    two.send(signal.SIGHUP)
    until(lambda: "not ready in time" in two.said())
    until(lambda: two.pids() == before)
    (two.folder / how).unlink()
    # They are as they were: another signal replaces them.
    two.send(signal.SIGHUP)
    until(lambda: len(two.ready()) == 2 and not two.ready() & before)


@pytest.mark.long
def test_a_second_round_follows_the_first(two: Running) -> None:
    before = two.ready()
    (two.folder / "wait").touch()
    two.send(signal.SIGHUP)
    until(lambda: len(two.pids()) == 3)
    (first,) = two.pids() - before
    two.send(signal.SIGHUP)
    (two.folder / "wait").unlink()
    until(lambda: first in two.ready())
    until(lambda: len(two.ready()) == 2 and not two.ready() & {first, *before})


def test_a_successor_takes_the_place_of_one_that_dies_meanwhile(two: Running) -> None:
    (two.folder / "wait").touch()
    before = two.children()
    two.send(signal.SIGHUP)
    until(lambda: len(two.pids()) == 3)
    (successor,) = two.pids() - {child.pid for child in before}
    # The oldest is the first to be replaced.
    old, other = sorted(before, key=psutil.Process.create_time)
    old.kill()
    until(lambda: "process died" in two.said())
    (two.folder / "wait").unlink()
    until(lambda: len(two.ready()) == 2 and not two.ready() & {old.pid, other.pid})
    assert successor in two.ready()


def test_there_can_be_one_more_or_one_less_but_not_none(two: Running) -> None:
    two.send(signal.SIGTTIN)
    until(lambda: len(two.ready()) == 3)
    for left in (2, 1):
        two.send(signal.SIGTTOU)
        until(lambda left=left: len(two.pids()) == left)  # type: ignore[misc]
    two.send(signal.SIGTTOU)
    (last,) = two.pids()
    # In order, so that it has heard the one before.
    two.send(signal.SIGTTIN)
    until(lambda: len(two.ready()) == 2)
    assert last in two.ready()


def test_signals_that_mean_nothing_end_nothing(two: Running) -> None:
    before = two.pids()
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
        two.send(number)
    two.send(signal.SIGTTIN)
    until(lambda: len(two.ready()) == 3)
    assert before < two.pids()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="another process's limits can be set on Linux alone")
def test_a_system_without_files_left_is_asked_again(two: Running) -> None:
    parent = two.process.pid
    limits = resource.prlimit(parent, resource.RLIMIT_NOFILE)
    killed, other = two.children()
    resource.prlimit(parent, resource.RLIMIT_NOFILE, (psutil.Process(parent).num_fds(), limits[1]))
    killed.kill()
    until(lambda: "the system gives none" in two.said())
    resource.prlimit(parent, resource.RLIMIT_NOFILE, limits)
    until(lambda: len(two.ready()) == 2)
    assert other.pid in two.ready()


@pytest.mark.long
def test_one_whose_start_takes_longer_than_a_ping_may_go_without_an_answer_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "import").touch()
    running = Running(tmp_path)
    try:
        until(lambda: len(running.pids()) == 2)
        first = running.pids()
        until(lambda: len(running.ready()) == 2)
        assert running.ready() == first
        assert "no sign of life" not in running.said()
    finally:
        running.stop()


@pytest.mark.long
def test_one_that_is_frozen_in_the_middle_of_its_start_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "import").touch()
    running = Running(tmp_path)
    try:
        until(lambda: len(running.pids()) == 2)
        frozen = running.children()[0]
        frozen.suspend()
        (tmp_path / "import").unlink()
        until(lambda: "no sign of life" in running.said())
        until(lambda: len(running.ready()) == 2)
        assert frozen.pid not in running.pids()
    finally:
        running.stop()
