"""Originals in a bucket of an S3-compatible server: `S3_PREFIX/<tenant>/<document>`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Final
from uuid import UUID

from core.ids import TenantId
from core.tasks import see_through
from datastores.storage.base import FileReader, StorageError, StoredFile, Tally
from datastores.storage.copies import LocalCopies
from datastores.storage.s3_wire import Found, S3Wire

PART_BYTES: Final = 8 * 1024 * 1024
"""Of a part, but for the last; a file that is no larger goes in one request. S3 wants 5 MiB at least, and some servers
want all of one size."""
MOST_PARTS: Final = 10_000
"""Of an upload, by S3."""
MOST_BYTES: Final = PART_BYTES * MOST_PARTS
BLOCK_BYTES: Final = 1024 * 1024
"""Read at once, in a request of its own: who downloads slowly holds up no connection to the server."""
ABORT_SECONDS: Final = 3.0


class S3Storage:
    """Objects of one bucket. An object appears at its end: what is half written is no object."""

    def __init__(self, wire: S3Wire, prefix: str | None, copies: LocalCopies) -> None:
        self._wire, self._prefix, self._copies = wire, prefix, copies

    async def save(
        self, tenant_id: TenantId, document_id: UUID, pieces: AsyncIterator[bytes], max_bytes: int
    ) -> StoredFile:
        """As in `FileStorage`. One part is in memory at a time."""
        key, tally = self._key(tenant_id, document_id), Tally(max_bytes)
        upload: str | None = None
        tags: list[str] = []
        part = BytesIO()
        try:
            async for piece in pieces:
                tally.add(piece)
                rest = memoryview(piece)
                while part.tell() + len(rest) > PART_BYTES:
                    room = PART_BYTES - part.tell()
                    part.write(rest[:room])
                    rest = rest[room:]
                    if upload is None:
                        upload = await self._wire.begin(key)
                    tags.append(await self._wire.put_part(key, upload, len(tags) + 1, part))
                    part = BytesIO()
                part.write(rest)
            if upload is None:
                await self._wire.put(key, part)
            else:
                tags.append(await self._wire.put_part(key, upload, len(tags) + 1, part))
                await self._wire.complete(key, upload, tags)
        except BaseException:
            if upload is not None:
                with suppress(StorageError):
                    await see_through(self._wire.abort(key, upload), ABORT_SECONDS)
            raise
        return tally.result()

    @asynccontextmanager
    async def open(self, tenant_id: TenantId, document_id: UUID) -> AsyncGenerator[FileReader, None]:
        """As in `FileStorage`."""
        key = self._key(tenant_id, document_id)
        found = await self._wire.head(key)
        if found is None:
            raise FileNotFoundError(key)
        yield _Reader(self._wire, key, found)

    @asynccontextmanager
    async def local(self, tenant_id: TenantId, document_id: UUID) -> AsyncGenerator[Path, None]:
        """As in `FileStorage`: a copy, which is removed at the end, and after a kill when the next process starts."""
        async with self.open(tenant_id, document_id) as reader, self._copies.make(reader) as path:
            yield path

    async def delete(self, tenant_id: TenantId, document_id: UUID) -> None:
        """As in `FileStorage`."""
        key = self._key(tenant_id, document_id)
        # In this order: an upload that has been aborted can no more become an object.
        for upload in await self._wire.unfinished(key):
            await self._wire.abort(key, upload)
        await self._wire.delete(key)

    def _key(self, tenant_id: TenantId, document_id: UUID) -> str:
        own = f"{tenant_id.hex}/{document_id.hex}"
        return own if self._prefix is None else f"{self._prefix}/{own}"


class _Reader:
    """One object, read in blocks."""

    def __init__(self, wire: S3Wire, key: str, found: Found) -> None:
        self._wire, self._key = wire, key
        self.size, self.modified = found.size, found.modified
        self._start, self._block = 0, b""

    async def read_at(self, start: int, length: int) -> bytes:
        """As in `FileReader`."""
        length = min(length, self.size - start)
        if length <= 0:
            return b""
        within = start - self._start
        if within < 0 or within + length > len(self._block):
            self._block = await self._wire.get(self._key, start, max(length, BLOCK_BYTES))
            self._start, within = start, 0
            if len(self._block) < length:
                raise StorageError(f"get_object: {len(self._block)} bytes came, {length} were asked for")
        return self._block[within : within + length]
