"""Files on disk, there whole or not at all; originals are under `DATA_DIR/files/<tenant>/<document>`."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from core.ids import TenantId


class FileTooLargeError(Exception):
    """More bytes came than the limit allows; nothing was kept."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What was written."""

    path: Path
    byte_size: int
    sha256: str
    head: bytes
    """The first 4 KiB, for sniffing the type."""


def write_private(path: Path, content: bytes) -> None:
    """Replace the file in one step, mode 0600: a killed process leaves the old content or the new. Raises OSError."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    file, draft = os.fdopen(descriptor, "wb"), Path(name)
    try:
        file.write(content)
        _commit(file, draft, path)
    except BaseException:
        file.close()
        draft.unlink(missing_ok=True)
        raise


class FileStorage:
    """A folder of originals. The API writes it and the worker reads it: both need the same DATA_DIR."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, tenant_id: TenantId, document_id: UUID) -> Path:
        """Where a document's original is, if it is kept."""
        return self._root / tenant_id.hex / document_id.hex

    async def save(
        self, tenant_id: TenantId, document_id: UUID, pieces: AsyncIterator[bytes], max_bytes: int
    ) -> StoredFile:
        """Write the pieces to disk in constant memory. Raises `FileTooLargeError`; a failure leaves nothing behind."""
        path = self.path(tenant_id, document_id)
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        partial = _partial(path)
        digest, size, head = hashlib.sha256(), 0, b""
        file = await asyncio.to_thread(partial.open, "wb")
        try:
            async for piece in pieces:
                size += len(piece)
                if size > max_bytes:
                    raise FileTooLargeError
                head = (head + piece)[:4096] if len(head) < 4096 else head
                digest.update(piece)
                await asyncio.to_thread(file.write, piece)
            await asyncio.to_thread(_commit, file, partial, path)
        except BaseException:
            file.close()
            partial.unlink(missing_ok=True)
            raise
        return StoredFile(path, size, digest.hexdigest(), head)

    async def delete(self, tenant_id: TenantId, document_id: UUID) -> None:
        """Remove a document's original, and what a killed process has left of it; it may be gone already.

        Raises OSError.
        """
        path = self.path(tenant_id, document_id)
        for file in (_partial(path), path):
            await asyncio.to_thread(file.unlink, missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_suffix(".part")


def _commit(file: BinaryIO, partial: Path, path: Path) -> None:
    """Make the bytes durable, then give them their name: a crash in between leaves only the partial file."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
    partial.replace(path)
