"""What a parser that a document has taken over cannot do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

import pdfs
from ingest import child, parser
from ingest.pages import ParserLimits
from ingest.sniff import ContentType

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's; elsewhere a warning says so")

BEGIN = """
import os, socket, sys, threading
ours, theirs = socket.socketpair()
files = sys.argv[1:]
from ingest.confinement import confine
assert confine()
"""
REFUSED = {
    "TCP": "socket.socket()",
    "UDP": "socket.socket(type=socket.SOCK_DGRAM)",
    "a Unix socket": "socket.socket(socket.AF_UNIX)",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "an old socket to another place": "ours.connect('/tmp/nowhere')",
    "a program": "os.execv(sys.executable, [sys.executable, '-c', ''])",
    "a program of a child": "os.waitpid(os.posix_spawn(sys.executable, [sys.executable], {}), 0)",
    "io_uring": "libc.syscall(425, 1, 0) == 0 or refused()",
    "the parent's memory": "libc.syscall(READ_MEMORY, os.getppid(), 0, 0, 0, 0, 0) == 0 or refused()",
    "a debugger": "libc.ptrace(16, os.getppid(), 0, 0) == 0 or refused()",
    "a thread's socket": "in_thread(socket.socket)",
    "a socket after giving up giving up": "(confine(), socket.socket())",
}
CALLS = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
READ_MEMORY = {"x86_64": 310, "aarch64": 270}[os.uname().machine]
def refused():
    raise OSError(ctypes.get_errno(), "refused")
def in_thread(call):
    caught = []
    def run():
        try: call()
        except OSError as error: caught.append(error)
    thread = threading.Thread(target=run); thread.start(); thread.join()
    raise caught[0]
"""


def run(body: str) -> str:
    environment = {"PYTHONPATH": str(Path(child.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", BEGIN.replace("from ingest", CALLS + "from ingest") + body],
        env=environment,
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_it_is_refused(call: str) -> None:
    assert run(f"try: print({call})\nexcept PermissionError: print('refused')") == "refused"


def test_what_a_parser_needs_goes_on() -> None:
    body = f"print(len(open({__file__!r}).read()), ours.send(b'x'), theirs.recv(1), len(os.listdir('/')) > 0)"
    assert run(body) == f"{len(Path(__file__).read_text())} 1 b'x' True"


async def test_where_a_system_has_no_filters_documents_are_read_and_the_log_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import platform\nplatform.machine = lambda: 'riscv64'\n")
    (tmp_path / "manual.pdf").write_bytes(pdfs.manual(1))
    known = parser._environment()
    monkeypatch.setattr(
        parser, "_environment", lambda: known | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{known['PYTHONPATH']}"}
    )
    parser._warn_of_no_confinement.cache_clear()
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            events = [event async for event in parser.parse(tmp_path / "manual.pdf", ContentType.PDF, ParserLimits())]
            assert len(events) == 2
    assert [line["log_level"] for line in lines] == ["warning"]
