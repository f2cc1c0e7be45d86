"""What a process gives up for good: to open sockets, start programs, signal or read other processes, and all files but
those that it is left to read.

Linux: calls by a seccomp filter, files by Landlock, which also keeps a process out of those that are not confined with
it. Elsewhere nothing is given up.

The numbers are the kernel's: system calls from arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h, the rest from include/uapi/linux/{audit,bpf_common,filter,landlock,prctl,seccomp}.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_SET_NO_NEW_PRIVS, _SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_FIRST_OF_X32 = 0x40000000
"""Of x86-64's second table, by which every call could be made again under another number."""

# What each is refused for: to reach the network, to run something else, other processes, and what Landlock lets pass
# of others' files. io_uring_setup opens sockets and files without the calls for it.
_X86_64: Final = (
    *(41, 53, 42),  # socket, socketpair, connect
    *(59, 322, 425),  # execve, execveat, io_uring_setup
    *(101, 310, 311, 434, 438),  # ptrace, process_vm_readv, process_vm_writev, pidfd_open, pidfd_getfd
    *(62, 200, 129, 297, 424),  # kill, tkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal
    *(141, 203, 144, 142, 314, 251),  # setpriority, sched_setaffinity, …scheduler, …param, …attr, ioprio_set
    *(76, 90, 91, 268, 452),  # truncate, chmod, fchmod, fchmodat, fchmodat2
    *(92, 93, 94, 260),  # chown, fchown, lchown, fchownat
    *(188, 189, 190, 197, 198, 199),  # setxattr, removexattr and kin
    *(132, 235, 261, 280),  # utime, utimes, futimesat, utimensat
)
_AARCH64: Final = (
    *(198, 199, 203, 221, 281, 425, 117, 270, 271, 434, 438, 129, 130, 138, 240, 424),
    *(140, 122, 119, 118, 274, 30, 45, 52, 53, 452, 55, 54, 5, 6, 7, 14, 15, 16, 88),
)
# Then tgkill, by which a process aborts, and prlimit64, by which it asks for its limits: they are for itself alone.
_MACHINES: Final = {"x86_64": (0xC000003E, _X86_64, 234, 302), "aarch64": (0xC00000B7, _AARCH64, 131, 261)}

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIRECTORY = 1 << 2, 1 << 3
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights on files there are since which version of Landlock: one bit each."""
_TRUNCATE_SINCE = 3
_NET_SINCE, _NET_RIGHTS = 4, 0b11
_SCOPES_SINCE, _SCOPES = 6, 0b11
"""Abstract Unix sockets and signals: of processes that are confined with this one alone."""


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def confine(readable: Iterable[Path]) -> bool:
    """Give up all that, but to read the files `readable` and what is beneath the directories among them; whether the
    system has seen to all of it. It holds for this thread and those that it begins.

    What is refused fails with EACCES.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    given_up = libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    # Some kernels, and what plays one for another processor, have neither, or one of the two.
    files = given_up and _restrict_files(libc, readable)
    return bool(given_up and _refuse_calls(libc) and files)


def _refuse_calls(libc: ctypes.CDLL) -> bool:
    # A program of 32 bits has other numbers than its machine's.
    if platform.machine() not in _MACHINES or sys.maxsize < 2**32:
        return False
    code = _code(*_MACHINES[platform.machine()])
    program = _Program(len(code) // 8, code)
    return bool(libc.prctl(_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _code(architecture: int, refused: tuple[int, ...], tgkill: int, prlimit: int) -> bytes:
    """The filter: another architecture's calls, those of x32 and the refused ones end at the last instruction."""
    compared = [(_JUMP_AT_LEAST, _FIRST_OF_X32), *((_JUMP_EQUAL, number) for number in refused)]
    end = [*_only_for(tgkill, os.getpid()), *_only_for(prlimit, 0, os.getpid()), (_RETURN, 0, 0, _ALLOW)]
    steps = [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD_WORD, 0, 0, _NUMBER_AT),
        *((jump, len(compared) - place - 1 + len(end), 0, value) for place, (jump, value) in enumerate(compared)),
        *end,
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _only_for(call: int, *first_arguments: int) -> list[tuple[int, int, int, int]]:
    """The call is allowed with one of these as its first argument, and any other call goes on behind this."""
    count = len(first_arguments)
    return [
        (_JUMP_EQUAL, 0, count + 3, call),
        (_LOAD_WORD, 0, 0, _FIRST_ARGUMENT_AT),
        *((_JUMP_EQUAL, count - place, 0, value) for place, value in enumerate(first_arguments)),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _restrict_files(libc: ctypes.CDLL, readable: Iterable[Path]) -> bool:
    version = libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
    if version < 1:
        return False
    handled = (1 << _FILE_RIGHTS.get(version, max(_FILE_RIGHTS.values()))) - 1
    attributes = struct.pack(
        "=QQQ",
        handled,
        _NET_RIGHTS if version >= _NET_SINCE else 0,
        _SCOPES if version >= _SCOPES_SINCE else 0,
    )
    # An older kernel takes what it does not know where it is zero.
    ruleset = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            # What cannot be opened cannot be read either.
            with suppress(OSError):
                _leave(libc, ruleset, path)
        restricted = libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
        # Before that, a file that may be read may be emptied.
        return bool(restricted and version >= _TRUNCATE_SINCE)
    finally:
        os.close(ruleset)


def _leave(libc: ctypes.CDLL, ruleset: int, path: Path) -> None:
    """Raises OSError. The descriptor stays open: some file systems know a file again only for as long as one is."""
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rights = _READ_FILE | (_READ_DIRECTORY if path.is_dir() else 0)
    if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, opened), 0):
        raise OSError(ctypes.get_errno(), "landlock_add_rule")
