"""What a parser that a document has taken over cannot do."""

from __future__ import annotations

import os
import signal
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
import ctypes, mmap, os, resource, signal, socket, sys, threading
from pathlib import Path
libc = ctypes.CDLL(None, use_errno=True)
READ_MEMORY = {"x86_64": 310, "aarch64": 270}[os.uname().machine]
PARENT = f"/proc/{os.getppid()}"
ours, theirs = socket.socketpair()
folder, readable = map(Path, sys.argv[1:])
def called(result):
    if result < 0: raise OSError(ctypes.get_errno(), "refused")
def in_thread(call):
    caught = []
    def run():
        try: call()
        except OSError as error: caught.append(error)
    thread = threading.Thread(target=run); thread.start(); thread.join()
    raise caught[0]
def confine_again():
    confine([Path("/")])
    open(folder / "secret")
from ingest.child import _code_folders
from ingest.confinement import confine
assert confine([readable, *_code_folders()])
"""
REFUSED = {
    "TCP": "socket.socket()",
    "UDP": "socket.socket(type=socket.SOCK_DGRAM)",
    "a Unix socket": "socket.socket(socket.AF_UNIX)",
    "a pair of sockets, one of which could send elsewhere": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "an old socket to another place": "ours.connect('/tmp/nowhere')",
    "a thread's socket": "in_thread(socket.socket)",
    "a socket after giving up once more": "(confine([]), socket.socket())",
    "io_uring": "called(libc.syscall(425, 1, 0))",
    "a program": "os.execv(sys.executable, [sys.executable, '-c', ''])",
    "a program of a child": "os.waitpid(os.posix_spawn(sys.executable, [sys.executable], {}), 0)",
    "the parent's memory by a call": "called(libc.syscall(READ_MEMORY, os.getppid(), 0, 0, 0, 0, 0))",
    "the parent's memory to be read": "open(f'{PARENT}/mem', 'rb')",
    "the parent's memory to be written": "open(f'{PARENT}/mem', 'r+b')",
    "the parent's secrets": "open(f'{PARENT}/environ', 'rb')",
    "the parent's open files": "os.listdir(f'{PARENT}/fd')",
    "a handle on the parent": "os.pidfd_open(os.getppid())",
    "a debugger": "called(libc.ptrace(16, os.getppid(), 0, 0))",
    "a signal": "os.kill(os.getppid(), 0)",
    "a signal to a thread": "called(libc.syscall({'x86_64': 234, 'aarch64': 131}[os.uname().machine], os.getppid(), "
    "os.getppid(), 0))",
    "the parent's limits": "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))",
    "the parent's priority": "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "the parent's processors": "os.sched_setaffinity(os.getppid(), {0})",
    "another's rights to a file": "os.chmod(folder / 'secret', 0)",
    "another's rights to a folder": "os.chmod(folder, 0)",
    "a file's owner": "os.chown(folder / 'secret', 1, 1)",
    "a file's times": "os.utime(folder / 'secret')",
    "a file's attributes": "os.setxattr(folder / 'secret', 'user.a', b'b')",
    "another's file": "open(folder / 'secret')",
    "a folder": "os.listdir(folder)",
    "the document to be written": "open(readable, 'r+b')",
    "the document to be mapped for writing": "mmap.mmap(os.open(readable, os.O_RDWR), 0)",
    "a new file": "open(folder / 'new', 'x')",
    "a new folder": "os.mkdir(folder / 'new')",
    "a file removed": "os.unlink(folder / 'secret')",
    "the document removed": "os.unlink(readable)",
    "a file renamed": "os.rename(folder / 'secret', folder / 'other')",
    "a file cut short": "os.truncate(folder / 'secret', 0)",
    "a link": "os.symlink(readable, folder / 'link')",
    "more files than before": "confine_again()",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Somebody else's secret, and a document."""
    (tmp_path / "secret").write_text("a secret")
    (tmp_path / "document").write_text("a document")
    return tmp_path


def run(folder: Path, body: str, ended: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + body, folder, folder / "document"],
        env=parser._environment() | {"PYTHONPATH": str(Path(child.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert done.returncode == ended, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_it_is_refused(folder: Path, call: str) -> None:
    before = sorted(path.name for path in folder.iterdir())
    assert run(folder, f"try: print({call})\nexcept PermissionError: print('refused')") == "refused"
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / "secret").read_text() == "a secret"


def test_what_a_parser_needs_goes_on(folder: Path) -> None:
    body = "import lxml.etree, zipfile; print(readable.read_text(), ours.send(b'x'), theirs.recv(1))"
    limits = "; print(resource.getrlimit(resource.RLIMIT_CORE) == resource.prlimit(os.getpid(), resource.RLIMIT_CORE))"
    assert run(folder, body + limits) == "a document 1 b'x'\nTrue"


def test_a_folder_that_is_none_takes_no_document_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{folder / 'document' / 'lib'}{os.pathsep}{folder / 'nowhere'}")
    assert run(folder, "print(readable.read_text())") == "a document"


def test_a_process_may_abort_itself(folder: Path) -> None:
    body = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()"
    assert run(folder, body, ended=-signal.SIGABRT) == ""


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
    assert [line["log_level"] for line in lines if "confine" in line["event"]] == ["warning"]
