"""A child process that sends frames, and that does not outlive whoever reads them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from time import monotonic

from ingest.wire import LENGTH_BYTES


class ChildDied(Exception):
    """The process ended by itself. `status` as in `Popen.returncode`: its exit status, or minus the signal."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


async def frames(
    command: Sequence[str], environment: Mapping[str, str], *, wall_seconds: float, max_frame_bytes: int
) -> AsyncGenerator[bytes]:
    """Start `command` in a session of its own and give the frames that it sends to its standard input, a socket.

    Nothing is read ahead but for the socket's buffers, so that a slow consumer holds the child back. Only waiting for
    the child counts towards `wall_seconds`. However this ends, the child's process group has been killed and the child
    reaped; a consumer that may stop early closes the iterator itself (`contextlib.aclosing`).

    Raises TimeoutError after `wall_seconds`, ValueError for a frame beyond `max_frame_bytes`, ChildDied.
    """
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
    except BaseException:
        ours.close()
        raise
    writer: asyncio.StreamWriter | None = None
    try:
        reader, writer = await asyncio.open_connection(sock=ours)
        remaining = wall_seconds
        while True:
            asked = monotonic()
            async with asyncio.timeout(remaining):
                frame = await _frame(reader, max_frame_bytes)
                if frame is None:
                    raise ChildDied(await process.wait())
            remaining -= monotonic() - asked
            yield frame
    finally:
        # In this order: kill while the process is unreaped and its group's number its own; then reap; then close.
        try:
            await _end(process)
        finally:
            if writer is None:
                ours.close()
            else:
                writer.close()
        if writer is not None:
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _frame(reader: asyncio.StreamReader, max_bytes: int) -> bytes | None:
    """The next frame; None where the child has closed its end, also in the middle of a frame."""
    try:
        length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
        if length > max_bytes:
            raise ValueError(f"a frame of {length} bytes, {max_bytes} are allowed")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the group and reap the child, even if the waiting task is cancelled once more meanwhile."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    reaped = asyncio.ensure_future(process.wait())
    cancelled: asyncio.CancelledError | None = None
    while not reaped.done():
        try:
            await asyncio.shield(reaped)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
