"""Reading a document in a process of its own: a hostile file costs one failed document and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import structlog

from core.errors import ErrorCode
from ingest.pages import DocumentOpened, ParsedPage, ParserLimits
from ingest.process import ChildDied, frames
from ingest.refusal import document_error
from ingest.sniff import ContentType
from ingest.wire import OUT_OF_MEMORY

_BYTES_PER_CHAR = 8
"""At most, in a frame: six for an escaped control character, and room for the source map."""
_FRAME_OVERHEAD = 64 * 1024
_SOURCE = Path(__file__).resolve().parents[1]
log = structlog.get_logger(__name__)
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")


class ChildFailed(Exception):
    """A fault of our own code in the parser's process: its traceback, for the log."""


async def parse(
    path: Path, content_type: ContentType, limits: ParserLimits
) -> AsyncGenerator[DocumentOpened | ParsedPage]:
    """One `DocumentOpened`, then every page in order, as the parser's process reads them.

    One page at a time is in memory; a slow consumer holds the parser back, and its own time does not count towards the
    limit. Consume it as `async with aclosing(parse(...)) as events:`, so that a consumer which stops or is cancelled
    between two pages has also waited for the process's end; a task that is cancelled while it waits for a page has.

    Raises DocumentError with a text for the client: ENCRYPTED, NO_TEXT (after the last page), EMPTY, CORRUPT,
    TOO_MANY_PAGES, TOO_LARGE (text or memory), TIMED_OUT. Pages given before an error are not the whole document.
    FileNotFoundError where there is no file.
    """
    # Storage that lost the file is not a damaged document.
    present = await asyncio.to_thread(path.resolve, strict=True)
    request = {"path": str(present), "content_type": content_type.value, **asdict(limits)}
    command = [sys.executable, "-P", "-m", "ingest.child", orjson.dumps(request).decode()]
    try:
        async with aclosing(
            frames(
                command,
                _environment(),
                wall_seconds=limits.wall_seconds,
                max_frame_bytes=limits.max_chars * _BYTES_PER_CHAR + _FRAME_OVERHEAD,
            )
        ) as received:
            begun = False
            async for data in received:
                frame = orjson.loads(data)
                if frame["kind"] == "unconfined" and not begun:
                    _warn_of_no_confinement()
                    begun = True
                    continue
                begun = True
                event = _decoded(frame, content_type)
                if event is None:
                    return
                yield event
    except TimeoutError:
        raise document_error(ErrorCode.TIMED_OUT, content_type) from None
    except ChildDied as died:
        raise document_error(_code_of(died.status), content_type) from died
    except (ValueError, KeyError, TypeError, ChildFailed) as error:
        # Whatever the process sent, it was not what our own code sends: the document took it over, or broke it.
        raise document_error(ErrorCode.CORRUPT, content_type) from error


@cache
def _warn_of_no_confinement() -> None:
    """Once in a process."""
    log.warning("this system does not confine the parser to the file that it reads")


def _decoded(frame: Any, content_type: ContentType) -> DocumentOpened | ParsedPage | None:
    """None for the end. Raises DocumentError for a refusal, ChildFailed; and ValueError, KeyError, TypeError."""
    match frame["kind"]:
        case "opened":
            return DocumentOpened(_count(frame["pages"]), _text(frame["encoding"]) if frame["encoding"] else None)
        case "page":
            runs = [(int(start), int(end), int(original)) for start, end, original in frame["source_map"]]
            return ParsedPage(_count(frame["number"]), _text(frame["text"]), runs)
        case "refused":
            raise document_error(ErrorCode(frame["code"]), content_type, _count(frame["number"]))
        case "end":
            return None
        case "failed":
            raise ChildFailed(_text(frame["detail"]))
        case kind:
            raise ValueError(f"a frame of kind {kind!r}")


def _count(value: object) -> int | None:
    if value is None or (isinstance(value, int) and value >= 0):
        return value
    raise TypeError("not a count")


def _text(value: object) -> str:
    if isinstance(value, str) and "\0" not in value:
        return value
    raise TypeError("not a text")


def _code_of(status: int) -> ErrorCode:
    # Python gives up by SIGABRT where there is no memory left to raise MemoryError with.
    if status in (OUT_OF_MEMORY, -signal.SIGABRT):
        return ErrorCode.TOO_LARGE
    return ErrorCode.TIMED_OUT if status == -signal.SIGXCPU else ErrorCode.CORRUPT


def _environment() -> dict[str, str]:
    """No secret of ours: the process reads what strangers wrote."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, "PYTHONPATH": str(_SOURCE), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
