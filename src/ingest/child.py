"""The parser's process: reads one document under limits and writes frames to the socket that is its standard input.

Started by `ingest.parser` as `python -m ingest.child REQUEST`, REQUEST being JSON: path, content_type and the fields of
`ParserLimits`. After its last frame the process waits to be ended, so that its process group is still there to be
signalled.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from ingest.confinement import confine
from ingest.pages import DocumentOpened, ParsedPage, ParserLimits
from ingest.refusal import Refusal
from ingest.sniff import ContentType
from ingest.text import read_text
from ingest.wire import LENGTH_BYTES, OUT_OF_MEMORY

Reader = Callable[[Path, ParserLimits], Iterator[DocumentOpened | ParsedPage]]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    request = orjson.loads(sys.argv[1])
    path, content_type = Path(request.pop("path")), ContentType(request.pop("content_type"))
    limits = ParserLimits(**request)
    _die_with_parent()
    read = _reader(content_type)  # before the limits, which are for the document and not for the library
    _limit(limits)
    confined = confine([path, *_code_folders()])
    with socket.socket(fileno=0) as pipe:
        if not confined:
            _send_frame(pipe, {"kind": "unconfined"})
        _send(pipe, read(path, limits))
        # Until the parent closes its end, or kills this process group.
        pipe.recv(1)


def _send(pipe: socket.socket, events: Iterator[DocumentOpened | ParsedPage]) -> None:
    try:
        for event in events:
            _send_frame(pipe, _encoded(event))
        _send_frame(pipe, {"kind": "end"})
    except Refusal as refusal:
        _send_frame(pipe, {"kind": "refused", "code": refusal.code.value, "number": refusal.number})
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except OSError:
        raise
    except Exception:
        # A fault of ours that this document has found. The parent keeps it for its log.
        _send_frame(pipe, {"kind": "failed", "detail": traceback.format_exc(limit=-8)[-4000:]})


def _reader(content_type: ContentType) -> Reader:
    """The function that reads documents of this type; only its own library is loaded."""
    match content_type:
        case ContentType.PDF:
            from ingest.pdf import read_pdf

            return read_pdf
        case ContentType.DOCX:
            from ingest.docx import read_docx

            return _whole(read_docx)
        case ContentType.EPUB:
            from ingest.epub import read_epub

            return read_epub
        case ContentType.HTML:
            from ingest.html import read_html

            return _whole(read_html)
        case ContentType.CSV:
            from ingest.csv_rows import read_csv

            return _whole(read_csv)
        case ContentType.TEXT | ContentType.MARKDOWN:
            return _whole(read_text)


def _whole(read: Callable[[bytes, int], tuple[ParsedPage, str | None]]) -> Reader:
    """Reads a document without pages: its text, and its encoding where it has one."""

    def events(path: Path, limits: ParserLimits) -> Iterator[DocumentOpened | ParsedPage]:
        page, encoding = read(path.read_bytes(), limits.max_chars)
        yield DocumentOpened(None, encoding)
        yield page

    return events


def _encoded(event: DocumentOpened | ParsedPage) -> dict[str, object]:
    if isinstance(event, DocumentOpened):
        return {"kind": "opened", "pages": event.pages, "encoding": event.encoding}
    return {"kind": "page", "number": event.number, "text": event.text, "source_map": event.source_map}


def _send_frame(pipe: socket.socket, frame: dict[str, object]) -> None:
    data = orjson.dumps(frame)
    pipe.sendall(len(data).to_bytes(LENGTH_BYTES, "big"))
    pipe.sendall(data)


def _limit(limits: ParserLimits) -> None:
    seconds = math.ceil(limits.wall_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # No process of its own (no effect on root). Not every system has the limit.
    with contextlib.suppress(AttributeError, ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    # macOS knows RLIMIT_AS and does not keep it.
    with contextlib.suppress(ValueError, OSError):
        memory = _own_memory() + limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _code_folders() -> list[Path]:
    """Where a library may look for what it has not loaded yet."""
    named = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    system = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache")
    return [Path(folder) for folder in (*system, sys.prefix, sys.base_prefix, *sys.path, *named) if folder]


def _own_memory() -> int:
    """This process's address space in bytes; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _die_with_parent() -> None:
    """A killed parent leaves no parser at work. Elsewhere than on Linux, the CPU limit ends it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
