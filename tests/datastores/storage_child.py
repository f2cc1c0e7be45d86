"""A process of its own that uses the storage of its environment's settings: to be killed, or to be kept short of
memory. Run as `storage_child.py <what> <tenant> <document>`; it prints one line of JSON.

    stall    save two parts and a bit, say so, and wait for ever
    copy     say where the local copy is, and wait for ever
    stream   save 200 MiB, and read them back in both ways, with at most 64 MiB more than a small file has taken
    hoard    the same of somebody who gathers them first
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

from core.ids import TenantId
from core.settings import Settings
from datastores.storage.base import FileStorage
from datastores.storage.opening import open_storage
from storages import MIB, pieces

SIZE = 200 * MIB
ROOM = 64 * MIB


async def main(what: str, tenant_id: TenantId, document_id: UUID) -> None:
    """Do it."""
    async with open_storage(Settings()) as storage:
        if what == "stall":
            await storage.save(tenant_id, document_id, _stalling(), SIZE)
        elif what == "copy":
            async with storage.local(tenant_id, document_id) as path:
                tell({"path": str(path)})
                await asyncio.Event().wait()
        else:
            await _through(storage, tenant_id, uuid4(), pieces(24 * MIB))  # code, threads and connections are there now
            limit_data()
            before = peak()
            source = pieces(SIZE) if what == "stream" else _gathered()
            try:
                digest = await _through(storage, tenant_id, document_id, source)
            except MemoryError:
                tell({"error": "MemoryError"})
                return
            tell({"grown": peak() - before, "sha256": digest})


async def _through(storage: FileStorage, tenant_id: TenantId, document_id: UUID, source: AsyncIterator[bytes]) -> str:
    """Save it, read it both ways, delete it; the digest, of which all three have the same."""
    stored = await storage.save(tenant_id, document_id, source, SIZE)
    async with storage.local(tenant_id, document_id) as path:
        assert _digest(path) == stored.sha256
    read = hashlib.sha256()
    async with storage.open(tenant_id, document_id) as reader:
        assert reader.size == stored.byte_size
        for start in range(0, reader.size, 64 * 1024):
            read.update(await reader.read_at(start, 64 * 1024))
    assert read.hexdigest() == stored.sha256
    await storage.delete(tenant_id, document_id)
    return stored.sha256


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _stalling() -> AsyncIterator[bytes]:
    async for piece in pieces(17 * MIB):
        yield piece
    tell({"stalled": True})
    await asyncio.Event().wait()


async def _gathered() -> AsyncIterator[bytes]:
    yield b"".join([piece async for piece in pieces(SIZE)])


def limit_data() -> None:
    """From now on, what this process has of its own (heap, anonymous mappings, stacks) may grow by `ROOM`.

    RLIMIT_DATA and not RLIMIT_AS: libraries reserve addresses that they never use. Linux alone counts mappings in it;
    elsewhere the peak that is told has to do.
    """
    if sys.platform != "linux":
        return
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmData:"))
    limit = int(line.split()[1]) * 1024 + ROOM
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def peak() -> int:
    """The most bytes of memory that this process has had so far."""
    told = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return told if sys.platform == "darwin" else told * 1024


def tell(what: dict[str, object]) -> None:
    """To whoever has started us."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], TenantId(UUID(hex=sys.argv[2])), UUID(hex=sys.argv[3])))
