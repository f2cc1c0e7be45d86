"""Copies of originals on this machine, for as long as somebody reads them.

A process that is killed leaves its copies behind. Each is locked by its process, and a lock ends with its holder: so
whoever starts removes those that nobody holds.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from datastores.storage.base import FileReader, StorageError

_BLOCK_BYTES = 1024 * 1024


class LocalCopies:
    """A folder of copies, which several processes may have in common."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remove_abandoned(self) -> None:
        """Remove what killed processes have left."""
        for path in self._folder.glob("*"):
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    @asynccontextmanager
    async def make(self, original: FileReader) -> AsyncGenerator[Path, None]:
        """Inside the block there is a copy, which nobody but this account can read. Raises `StorageError`."""
        try:
            path, file = await asyncio.to_thread(self._make)
        except OSError as error:
            raise StorageError(f"the folder of copies: {error}") from error
        try:
            start = 0
            while block := await original.read_at(start, _BLOCK_BYTES):
                await asyncio.to_thread(_write, file, block)
                start += len(block)
            yield path
        finally:
            path.unlink(missing_ok=True)
            file.close()

    def _make(self) -> tuple[Path, BinaryIO]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            descriptor, name = tempfile.mkstemp(dir=self._folder)
            file, path = os.fdopen(descriptor, "wb", buffering=0), Path(name)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                # Whoever starts just then may have taken it for an abandoned one before it was locked.
                if path.exists():
                    return path, file
            except OSError:
                path.unlink(missing_ok=True)
                file.close()
                raise
            file.close()


def _write(file: BinaryIO, block: bytes) -> None:
    """All of it. Raises `StorageError`: the disk may be full."""
    try:
        rest = memoryview(block)
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise StorageError(f"the folder of copies: {error}") from error
