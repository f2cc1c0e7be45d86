"""The supervisor's parts, each by itself."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr
from rich.console import Console
from waiting import has_ended, until

from app.embedded.files import make_private, open_log, read_record, write_record
from app.embedded.lock import DataFolderLock
from app.embedded.ports import free_port, require_free
from app.embedded.processes import end, spawn, tail
from app.running.banner import ready_rows
from app.running.display import Display
from app.running.logs import WatchedLog
from app.running.one_shot import OneShot
from app.running.programs import Program, Roster, child_environment, secret_key
from app.running.readiness import ask_ready, base_url
from app.running.restarts import RestartBudget
from app.running.stopping import StopRequested, StopSignals
from core.errors import ConfigurationError
from core.settings import Settings


def test_a_restart_waits_longer_each_time_and_is_given_up_after_five_in_a_minute() -> None:
    budget = RestartBudget()
    assert [budget.delay_after_death(float(second)) for second in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.6, None]


def test_a_death_an_hour_ago_counts_for_nothing() -> None:
    budget = RestartBudget()
    for second in range(5):
        budget.delay_after_death(float(second))
    assert budget.delay_after_death(3600.0) == 0.1


def test_only_whole_new_error_lines_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    path.write_text("[error    ] from an earlier run\n")
    log = WatchedLog(path)
    assert log.new_errors() == []
    with path.open("a") as file:
        file.write('[info     ] fine\n{"level": "error", "event": "a"}\n[\x1b[31merror    \x1b[0m] b\n[critical ] ha')
    assert log.new_errors() == ['{"level": "error", "event": "a"}', "[\x1b[31merror    \x1b[0m] b"]
    with path.open("a") as file:
        file.write("lf\n")
    assert log.new_errors() == ["[critical ] half"]


def test_a_long_log_is_moved_aside_while_its_writer_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.running.logs._LIMIT", 100)
    path = tmp_path / "api.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"x" * 120 + b"\n")
        log = WatchedLog(path)
        log.rotate()
        writer.write(b"[error    ] after\n")
    assert path.read_bytes() == b"[error    ] after\n"
    assert (tmp_path / "api.log.1").stat().st_size == 121
    assert log.new_errors() == ["[error    ] after"]


def test_a_wildcard_address_is_reached_by_loopback() -> None:
    assert base_url("0.0.0.0", 8000) == "http://127.0.0.1:8000"
    assert base_url("::", 8000) == "http://[::1]:8000"
    assert base_url("192.168.1.5", 8000) == "http://192.168.1.5:8000"


def test_not_ready_says_why() -> None:
    assert "refused" in (ask_ready("127.0.0.1", free_port()) or "")


def test_an_unknown_host_name_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"HOST: 'no-such-host\.invalid'"):
        require_free("no-such-host.invalid", 8000)


def test_the_lock_is_free_again_after_use_and_carries_no_name_then(tmp_path: Path) -> None:
    for _ in range(2):
        with DataFolderLock(tmp_path, "http://127.0.0.1:1"):
            assert read_record(tmp_path / "lock") == {"pid": os.getpid(), "url": "http://127.0.0.1:1"}
            with pytest.raises(ConfigurationError, match=f"pid {os.getpid()}, http://127.0.0.1:1"):
                DataFolderLock(tmp_path, "http://127.0.0.1:2").__enter__()
            assert read_record(tmp_path / "lock")["url"] == "http://127.0.0.1:1"
        assert read_record(tmp_path / "lock") == {}


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="DATA_DIR: cannot create"):
        DataFolderLock(tmp_path / "file" / "data", "http://127.0.0.1:1").__enter__()


def test_a_recycled_process_number_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        write_record(tmp_path / "children.json", {str(bystander.pid): 12345.0, "not a number": 1.0})
        assert Roster(tmp_path).end_left_behind() == 0
        assert bystander.poll() is None
        bystander.kill()


def test_a_program_s_own_children_end_with_it() -> None:
    script = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); sys.stdin.read()"
    read_end, write_end = os.pipe()
    stdin, keep_open = os.pipe()
    process = spawn([sys.executable, "-c", script], log=subprocess.DEVNULL, stdout=write_end, stdin=stdin)
    grandchild = psutil.Process(int(os.read(read_end, 100)))
    end([process])
    for descriptor in (read_end, write_end, stdin, keep_open):
        os.close(descriptor)
    assert process.returncode == -9
    until(lambda: has_ended(grandchild))


def test_a_step_s_reports_are_shown_as_progress(tmp_path: Path) -> None:
    shown = io.StringIO()
    display = Display(Console(file=shown, force_terminal=True, width=100))
    script = 'print("hello"); print("{\\"stage\\": \\"handbook.pdf\\", \\"done\\": 2, \\"total\\": 3}"); print("[1]")'
    log = tmp_path / "seed.log"
    with display.step("Preparing the demo"):
        program = Program((sys.executable, "-c", script))
        shot = OneShot("seed", program, os.environ, log, Roster(tmp_path), display)
        while not shot.finished():
            pass
        display._spoke = 0.0
        display.tick()
    assert "handbook.pdf (2 of 3)" in shown.getvalue()
    assert log.read_text().startswith("hello\n")


def test_where_there_is_no_terminal_a_short_step_is_one_line_and_a_long_one_speaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("app.running.display.time.monotonic", lambda: now)
    shown = io.StringIO()
    display = Display(Console(file=shown, width=100))
    with display.step("Quick"):
        now += 1.0
        display.tick()
    with display.step("Slow"):
        for _ in range(30):
            now += 1.0
            display.progress("handbook.pdf", 1, 3)
    lines = shown.getvalue().splitlines()
    assert lines[0] == "✓ Quick 1.0 s"
    assert lines[1] == "… Slow: handbook.pdf (1 of 3) (2 s)"
    assert len(lines) == 5
    assert lines[-1] == "✓ Slow 30.0 s"


def test_a_terminal_that_is_gone_does_not_end_the_run() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as file:
        display = Display(Console(file=file))
        with display.step("Stopping"):
            display.tick()
        display.say("nobody reads this")
        display.fail("nor this")
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


def test_markup_in_a_message_is_shown_as_it_is() -> None:
    shown = io.StringIO()
    Display(Console(file=shown, width=200)).fail("the [error] of [/bold] /x[1]")
    assert shown.getvalue() == "✗ the [error] of [/bold] /x[1]\n"


def test_a_demo_file_of_another_shape_is_no_obstacle(tmp_path: Path) -> None:
    for text in ("[]", '{"logins": 3}', '{"logins": [1, {"role": "USER"}]}', "{"):
        (tmp_path / "demo.json").write_text(text)
        assert [label for label, _ in ready_rows("http://x", tmp_path, graphiql=False)] == [
            "Ready",
            "GraphQL",
            "Health",
            "Logs",
            "Stop",
        ]


def test_a_secret_key_that_is_set_is_used_and_not_written(tmp_path: Path) -> None:
    assert secret_key(Settings(secret_key=SecretStr("s" * 40)), tmp_path) == "s" * 40
    assert list(tmp_path.iterdir()) == []
    made = secret_key(Settings(secret_key=None), tmp_path)
    assert len(made) >= 32
    assert secret_key(Settings(secret_key=None), tmp_path) == made
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


def test_a_child_s_environment_is_ours_without_what_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_OWNER_URL", "secret")
    monkeypatch.setenv("REDIS_URL", "old")
    found = child_environment({"REDIS_URL": None, "PORT": "1"}, remove=("DATABASE_OWNER_URL",))
    assert {"DATABASE_OWNER_URL", "REDIS_URL"}.isdisjoint(found)
    assert found["PORT"] == "1"
    assert found["PATH"] == os.environ["PATH"]


def test_a_signal_is_noted_and_raises_only_where_the_run_looks() -> None:
    with StopSignals() as signals:
        signals.checkpoint()
        os.kill(os.getpid(), 15)
        with pytest.raises(StopRequested):
            signals.wait(10.0)
        signals.begin_ending()
        assert not signals.hastened()
        os.kill(os.getpid(), 15)
        assert signals.hastened()


def test_waiting_ends_when_a_child_does() -> None:
    with StopSignals() as signals, subprocess.Popen(["true"]) as child:
        signals.wait(10.0)
        assert child.wait(1.0) == 0


def test_the_end_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert tail(path) == ""
    path.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert tail(path, lines=2) == "line 9998\nline 9999"


def test_a_log_and_what_is_moved_aside_are_readable_by_their_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.running.logs._LIMIT", 100)
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o755)
    for name in ("api.log", "api.log.1"):
        (logs / name).write_bytes(b"of an earlier version\n")
        (logs / name).chmod(0o644)
    with open_log(make_private(logs) / "api.log") as log:
        log.write(b"x" * 120 + b"\n")
    with open_log(logs / "worker.log"):
        pass
    WatchedLog(logs / "api.log").rotate()
    assert (logs / "api.log.1").read_bytes() == b"of an earlier version\n" + b"x" * 120 + b"\n"
    assert logs.stat().st_mode & 0o777 == 0o700
    for name in ("api.log", "api.log.1", "worker.log"):
        assert (logs / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells children of their parent's end on Linux alone")
@pytest.mark.parametrize(("parent", "said"), [("os.getppid()", "lives"), ("1 << 22", "")])
def test_a_child_whose_parent_has_ended_before_it_looked_ends(parent: str, said: str) -> None:
    program = (
        f"import os\nfrom app.embedded.processes import end_with_parent\nend_with_parent({parent})\nprint('lives')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=15)
    assert (ended.stdout.strip(), ended.returncode) == (said, 0 if said else 1), ended.stderr
