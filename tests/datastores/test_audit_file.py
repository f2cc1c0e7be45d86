"""The audit log's file: a new one each day, seven days kept, any number of processes, and nobody waits for it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import orjson
import pytest
from structlog.testing import capture_logs

from datastores import audit_file
from datastores.audit import NO_TENANT, new_entry_key
from datastores.audit_file import KEPT_DAYS, AuditFile, append
from datastores.models import AuditOutcome
from datastores.records import AuditRecord

TODAY = date(2026, 3, 14)
WRITER = """
import sys
from datetime import date
from pathlib import Path
from datastores.audit_file import append

path, name = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(100):
    append(path, [f"{name} {number} {'x' * 200}\\n".encode()], date(2026, 3, 14))
"""


def entry(action: str = "updateMember") -> AuditRecord:
    """An entry as the product would write it."""
    id, at = new_entry_key()
    return AuditRecord(
        id=id,
        tenant_id=NO_TENANT,
        at=at,
        actor_id=UUID(int=1),
        session_id=None,
        api_key_id=None,
        action=action,
        targets=["usr_00000000000000000000000000000001"],
        address="192.0.2.1",
        outcome=AuditOutcome.SUCCEEDED,
        code=None,
        request_id="r1",
        details={"role": "USER"},
    )


def written_on(path: Path, day: date) -> None:
    """Make the file one that was written to on that day for the last time."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
    os.utime(path, (noon, noon))


def names(folder: Path) -> list[str]:
    """The files that are not hidden."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_lines_of_one_day_are_one_file_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.log"
    append(path, [b"one\n"], TODAY)
    append(path, [b"two\n", b"three\n"], TODAY)
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(path.parent) == ["audit.log"]


def test_the_file_of_an_earlier_day_is_set_aside_under_its_own_date(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    append(path, [b"old\n"], TODAY)
    written_on(path, TODAY - timedelta(days=2))
    append(path, [b"new\n"], TODAY)
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "audit.log.2026-03-12").read_bytes() == b"old\n"


def test_a_day_that_comes_twice_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    for text in (b"first\n", b"second\n"):
        append(path, [text], TODAY - timedelta(days=1))
        written_on(path, TODAY - timedelta(days=1))
        append(path, [], TODAY)
    assert (tmp_path / "audit.log.2026-03-13").read_bytes() == b"first\nsecond\n"
    assert names(tmp_path) == ["audit.log.2026-03-13"]


def test_seven_days_are_kept_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    for age in range(1, 12):
        path.with_name(f"audit.log.{TODAY - timedelta(days=age)}").write_bytes(b"x\n")
    for foreign in ("audit.log.gz", "audit.log.2026-01", "api.log"):
        (tmp_path / foreign).write_bytes(b"x\n")
    append(path, [], TODAY)
    kept = [f"audit.log.{TODAY - timedelta(days=age)}" for age in range(1, KEPT_DAYS + 1)]
    assert names(tmp_path) == sorted([*kept, "audit.log.gz", "audit.log.2026-01", "api.log"])


async def test_an_entry_is_a_line_of_json(tmp_path: Path) -> None:
    file, written = AuditFile(tmp_path / "audit.log"), entry()
    file.write(written)
    await file.aclose()
    (line,) = (tmp_path / "audit.log").read_bytes().splitlines()
    assert orjson.loads(line) == {
        "id": str(written.id),
        "tenant_id": str(NO_TENANT),
        "at": written.at.isoformat(),
        "actor_id": str(UUID(int=1)),
        "action": "updateMember",
        "targets": ["usr_00000000000000000000000000000001"],
        "address": "192.0.2.1",
        "outcome": "SUCCEEDED",
        "request_id": "r1",
        "details": {"role": "USER"},
    }


async def test_the_day_is_the_clock_s(tmp_path: Path) -> None:
    today = datetime.now(UTC)
    for name, days in (("old", 0), ("new", 1)):
        file = AuditFile(tmp_path / "audit.log", lambda ahead=days: today + timedelta(days=ahead))
        file.write(entry(name))
        await file.aclose()
    # The file's date is the disk's, to which it is still today.
    lines = (tmp_path / f"audit.log.{today.date()}").read_bytes().splitlines()
    assert orjson.loads(lines[0])["action"] == "old"


async def test_two_processes_lose_nothing_though_the_day_ends_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    append(path, [b"yesterday\n"], TODAY - timedelta(days=1))
    written_on(path, TODAY - timedelta(days=1))
    pipe = asyncio.subprocess.PIPE
    arguments: Sequence[str] = (sys.executable, "-c", WRITER, str(path))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        await asyncio.create_subprocess_exec(*arguments, name, stdin=pipe, stdout=pipe, env=environment)
        for name in ("a", "b")
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    # Both begin at once, with yesterday's file in their way.
    await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    assert [process.returncode for process in processes] == [0, 0]
    assert (tmp_path / "audit.log.2026-03-13").read_bytes() == b"yesterday\n"
    lines = path.read_text().splitlines()
    assert all(line.endswith("x" * 200) for line in lines)
    for name in ("a", "b"):
        assert [line.split()[1] for line in lines if line.startswith(name)] == [str(n) for n in range(100)]


async def test_nobody_waits_for_a_file_that_is_held_and_what_is_too_much_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_file, "WAITING_LINES", 10)
    path = tmp_path / "audit.log"
    file = AuditFile(path)
    with capture_logs() as logged, (tmp_path / ".audit.log.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for _ in range(100):
            file.write(entry())  # a write that waited would wait for ever
    await file.aclose()
    assert 10 <= len(path.read_bytes().splitlines()) < 100
    assert [line["event"] for line in logged] == ["audit file cannot keep up: lines are dropped"]


async def test_a_file_that_cannot_be_written_is_told_once_and_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    file = AuditFile(tmp_path / "logs" / "audit.log")
    with capture_logs() as logged:
        for _ in range(3):
            file.write(entry())
            await file.aclose()
    assert [line["event"] for line in logged] == ["audit file cannot be written"]
    (tmp_path / "logs").unlink()
    file.write(entry())
    await file.aclose()
    assert len((tmp_path / "logs" / "audit.log").read_bytes().splitlines()) == 1
