"""Originals in a folder: `DATA_DIR/files/<tenant>/<document>`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from core.ids import TenantId
from datastores.files import commit
from datastores.storage.base import FileReader, StorageError, StoredFile, Tally


class FolderStorage:
    """A folder of originals. The API writes it and the worker reads it: both need the same DATA_DIR."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, tenant_id: TenantId, document_id: UUID) -> Path:
        """Where a document's original is, if it is kept."""
        return self._root / tenant_id.hex / document_id.hex

    async def save(
        self, tenant_id: TenantId, document_id: UUID, pieces: AsyncIterator[bytes], max_bytes: int
    ) -> StoredFile:
        """As in `FileStorage`; whatever fails, nothing is left behind."""
        path = self.path(tenant_id, document_id)
        partial = _partial(path)
        tally = Tally(max_bytes)
        with _failures():
            await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
            file = await asyncio.to_thread(partial.open, "wb")
        try:
            async for piece in pieces:
                tally.add(piece)
                with _failures():
                    await asyncio.to_thread(file.write, piece)
            with _failures():
                await asyncio.to_thread(commit, file, partial, path)
        except BaseException:
            file.close()
            partial.unlink(missing_ok=True)
            raise
        return tally.result()

    @asynccontextmanager
    async def open(self, tenant_id: TenantId, document_id: UUID) -> AsyncGenerator[FileReader, None]:
        """As in `FileStorage`."""
        with _failures(FileNotFoundError):
            file = await asyncio.to_thread(self.path(tenant_id, document_id).open, "rb", 0)
        try:
            yield _Reader(file)
        finally:
            file.close()

    @asynccontextmanager
    async def local(self, tenant_id: TenantId, document_id: UUID) -> AsyncGenerator[Path, None]:
        """As in `FileStorage`: the original itself."""
        path = self.path(tenant_id, document_id)
        with _failures(FileNotFoundError):
            await asyncio.to_thread(path.stat)
        yield path

    async def delete(self, tenant_id: TenantId, document_id: UUID) -> None:
        """As in `FileStorage`."""
        path = self.path(tenant_id, document_id)
        with _failures():
            for file in (_partial(path), path):
                await asyncio.to_thread(file.unlink, missing_ok=True)


class _Reader:
    """One open file."""

    def __init__(self, file: BinaryIO) -> None:
        self._descriptor = file.fileno()
        known = os.fstat(self._descriptor)
        self.size, self.modified = known.st_size, known.st_mtime

    async def read_at(self, start: int, length: int) -> bytes:
        """As in `FileReader`."""
        with _failures():
            return await asyncio.to_thread(os.pread, self._descriptor, length, start)


@contextmanager
def _failures(*passing: type[OSError]) -> Iterator[None]:
    try:
        yield
    except passing:
        raise
    except OSError as error:
        raise StorageError(f"the folder of originals: {error}") from error


def _partial(path: Path) -> Path:
    return path.with_suffix(".part")
