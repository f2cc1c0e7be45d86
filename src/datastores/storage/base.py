"""What every storage of originals does, whatever it is."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

from core.ids import TenantId

HEAD_BYTES: Final = 4096


class FileTooLargeError(Exception):
    """More bytes came than the limit allows; nothing was kept."""


class StorageError(Exception):
    """Storage is away, full, or refuses. The text, and what lies behind it, are for the log."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What was written."""

    byte_size: int
    sha256: str
    head: bytes
    """The first 4 KiB, for sniffing the type."""


class Tally:
    """What is told of a file, counted while its pieces go by."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size, self._head, self._digest = 0, b"", hashlib.sha256()

    def add(self, piece: bytes) -> None:
        """Raises `FileTooLargeError`."""
        self._size += len(piece)
        if self._size > self._max_bytes:
            raise FileTooLargeError
        if len(self._head) < HEAD_BYTES:
            self._head = (self._head + piece)[:HEAD_BYTES]
        self._digest.update(piece)

    def result(self) -> StoredFile:
        """After the last piece."""
        return StoredFile(self._size, self._digest.hexdigest(), self._head)


class FileReader(Protocol):
    """An original that is open for reading."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def modified(self) -> float:
        """When it was written: seconds since 1970."""
        ...

    async def read_at(self, start: int, length: int) -> bytes:
        """The bytes from there on, at most so many; fewer only at the end. Raises `StorageError`."""
        ...


class FileStorage(Protocol):
    """Where originals are kept: each is there whole or not at all, and is never changed.

    None of it holds up the event loop, and all of it takes constant memory.
    """

    async def save(
        self, tenant_id: TenantId, document_id: UUID, pieces: AsyncIterator[bytes], max_bytes: int
    ) -> StoredFile:
        """Keep the pieces as a document's original.

        Raises `FileTooLargeError`, `StorageError`, and what the pieces raise; nothing is left behind then, except that
        a storage which has failed may hold something that only `delete` removes, even somewhat later.
        """
        ...

    def open(self, tenant_id: TenantId, document_id: UUID) -> AbstractAsyncContextManager[FileReader]:
        """Inside the block the original can be read. Raises FileNotFoundError where there is none, `StorageError`."""
        ...

    def local(self, tenant_id: TenantId, document_id: UUID) -> AbstractAsyncContextManager[Path]:
        """Inside the block the original, or a copy of it, is a file on this machine, to be read and left alone.

        Raises FileNotFoundError where there is no original, `StorageError`.
        """
        ...

    async def delete(self, tenant_id: TenantId, document_id: UUID) -> None:
        """Remove an original, and what a save has left that was killed; it may be gone already.

        Raises `StorageError`.
        """
        ...
