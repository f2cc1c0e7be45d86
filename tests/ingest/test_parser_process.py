"""The process that reads documents: whatever it does, its reader gets a clear end and nothing is left running."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest
from until import until

from ingest.process import ChildDied, frames

SEND = """
import os, signal, socket, subprocess, sys, time
pipe = socket.socket(fileno=0)
def send(data):
    pipe.sendall(len(data).to_bytes(4, "big") + data)
"""


async def received(body: str, wall_seconds: float = 10.0, max_frame_bytes: int = 1000) -> list[bytes]:
    result: list[bytes] = []
    async with aclosing(
        frames([sys.executable, "-c", SEND + body], {}, wall_seconds=wall_seconds, max_frame_bytes=max_frame_bytes)
    ) as source:
        async for frame in source:
            result.append(frame)
            if frame == b"end":
                break
    return result


def ended(pid: int) -> bool:
    """Whether the process is over. One that is nobody's child any more is reaped by init, which takes its time."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_frames_arrive_in_order_and_the_waiting_process_is_ended() -> None:
    sent = await received('send(str(os.getpid()).encode()); send(b""); send(b"end"); time.sleep(600)')
    assert sent[1:] == [b"", b"end"]
    assert not psutil.pid_exists(int(sent[0])), "reaped, not a zombie"


async def test_the_whole_group_dies_with_the_process() -> None:
    body = (
        'send(str(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid).encode()); send(b"end")'
    )
    sent = await received(body + "; time.sleep(600)")
    assert await until(lambda: ended(int(sent[0])))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", -11),
        ("sys.exit(3)", 3),
        ("send(b'page'); pipe.sendall(b'\\0\\0\\0\\x09half'); sys.exit(0)", 0),
        ("pipe.sendall(b'\\0'); sys.exit(0)", 0),
    ],
)
async def test_a_death_is_reported_with_its_status(body: str, status: int) -> None:
    with pytest.raises(ChildDied) as died:
        await received(body)
    assert died.value.status == status


async def test_a_process_that_never_speaks_is_ended_in_time() -> None:
    before = set(psutil.Process().children())
    with pytest.raises(TimeoutError):
        await received("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)", wall_seconds=0.5)
    assert set(psutil.Process().children()) <= before


async def test_an_oversized_frame_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match="4294967295"):
        await received("pipe.sendall(b'\\xff' * 4); time.sleep(600)")


@pytest.mark.long
async def test_a_consumers_own_time_does_not_count() -> None:
    body = 'send(b"1"); pipe.recv(1)'
    command = [sys.executable, "-c", SEND + body.replace("pipe.recv(1)", 'send(b"2"); time.sleep(600)')]
    async with aclosing(frames(command, {}, wall_seconds=3.0, max_frame_bytes=10)) as source:
        assert await anext(source) == b"1"
        await asyncio.sleep(3.1)  # the case itself: a consumer slower than the whole limit
        assert await anext(source) == b"2"


async def test_a_slow_consumer_holds_the_process_back() -> None:
    body = 'send(str(os.getpid()).encode())\nwhile True: send(b"x" * 60000)'
    command = [sys.executable, "-c", SEND + body]
    async with aclosing(frames(command, {}, wall_seconds=10.0, max_frame_bytes=60_000)) as source:
        process = psutil.Process(int(await anext(source)))
        before = psutil.Process().memory_info().rss
        # Asleep in its write, the buffers full: it sends no more until somebody reads.
        await until(lambda: process.status() == psutil.STATUS_SLEEPING)
        assert psutil.Process().memory_info().rss - before < 20_000_000
        assert len(await anext(source)) == 60_000


async def test_a_cancelled_reader_leaves_no_process(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    note.touch()
    body = f"open({str(note)!r}, 'w').write(str(os.getpid())); send(b'on'); time.sleep(600)"
    reading = asyncio.Event()

    async def consume() -> None:
        command = [sys.executable, "-c", SEND + body]
        async with aclosing(frames(command, {}, wall_seconds=10.0, max_frame_bytes=10)) as source:
            async for _ in source:
                reading.set()

    task = asyncio.create_task(consume())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not psutil.pid_exists(int(note.read_text()))


async def test_a_reader_that_was_killed_leaves_no_process() -> None:
    reader = """
import asyncio, sys
from ingest.process import frames
async def main():
    command = [sys.executable, "-m", "ingest.child", '{"path": "/dev/zero", "content_type": "text/plain"}']
    async for _ in frames(command, {"PYTHONPATH": sys.argv[1]}, wall_seconds=60.0, max_frame_bytes=10): pass
asyncio.run(main())
"""
    source = str(Path(sys.modules["ingest"].__path__[0]).parent)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", reader, source, env={**os.environ, "PYTHONPATH": source}
    )
    try:
        # Its limits are set by the time that it reads its endless document.
        child = await until(lambda: child_with_open_file(process.pid, "/dev/zero"))
    finally:
        process.kill()
        await process.wait()
    assert await until(lambda: ended(child))


def child_with_open_file(pid: int, path: str) -> int | None:
    for child in psutil.Process(pid).children():
        try:
            if any(str(entry.readlink()) == path for entry in Path(f"/proc/{child.pid}/fd").iterdir()):
                return child.pid
        except OSError:
            continue
    return None
