"""What a process gives up for good: to open sockets, to start programs, to reach into other processes.

Linux, by a seccomp filter; elsewhere, and on processors that are not listed, nothing is given up.

The numbers are the kernel's: system calls from arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h, the rest from include/uapi/linux/{audit,bpf_common,filter,prctl,seccomp}.h.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from typing import Final

_SET_NO_NEW_PRIVS, _SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_FIRST_OF_X32 = 0x40000000
"""Of x86-64's second table, by which every call could be made again under another number."""

# socket, connect; execve, execveat; ptrace, process_vm_readv, process_vm_writev; io_uring_setup, which opens sockets
# and files without the calls for it.
_REFUSED: Final = {
    "x86_64": (0xC000003E, (41, 42, 59, 322, 101, 310, 311, 425)),
    "aarch64": (0xC00000B7, (198, 203, 221, 281, 117, 270, 271, 425)),
}


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def confine() -> bool:
    """Have the kernel answer those calls with EACCES, to this thread and to those that it begins; whether it does."""
    if sys.platform != "linux" or platform.machine() not in _REFUSED:
        return False
    architecture, refused = _REFUSED[platform.machine()]
    code = _code(architecture, refused)
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None)
    given_up = libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    # Some kernels, and what plays one for another processor, have no filters.
    return bool(given_up and libc.prctl(_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _code(architecture: int, refused: tuple[int, ...]) -> bytes:
    """The filter: another architecture's calls, those of x32 and the refused ones end at the last instruction."""
    compared = [(_JUMP_AT_LEAST, _FIRST_OF_X32), *((_JUMP_EQUAL, number) for number in refused)]
    steps = [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _ERRNO | errno.EACCES),
    ]
    steps.append((_LOAD_WORD, 0, 0, _NUMBER_AT))
    steps += [(jump, len(compared) - place, 0, value) for place, (jump, value) in enumerate(compared)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.EACCES)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
