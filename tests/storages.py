"""Both storages of originals, seen from the product's side and from behind."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

from core.ids import TenantId
from core.settings import Settings
from datastores.storage.base import FileStorage
from datastores.storage.opening import open_storage
from s3_server import S3Server

SOURCES = Path(__file__).parents[1] / "src"
MIB = 1024 * 1024
BOTH = ("folder", "s3")


class Behind(Protocol):
    """What an operator sees of a storage."""

    async def whole(self) -> dict[str, int]:
        """Originals by `tenant/document`, with their bytes."""
        ...

    async def halves(self) -> list[str]:
        """What is there of originals that are not whole."""
        ...


@dataclass
class FolderBehind:
    """The folder."""

    root: Path

    async def whole(self) -> dict[str, int]:
        files = [path for path in self.root.rglob("*") if path.is_file() and not path.suffix]
        return {str(path.relative_to(self.root)): path.stat().st_size for path in files}

    async def halves(self) -> list[str]:
        return [str(path.relative_to(self.root)) for path in self.root.rglob("*.part")]


@dataclass
class S3Behind:
    """The bucket, below a prefix."""

    server: S3Server
    prefix: str

    async def whole(self) -> dict[str, int]:
        return await self.server.objects(self.prefix)

    async def halves(self) -> list[str]:
        return await self.server.unfinished(self.prefix)


@dataclass
class Kept:
    """An open storage, one document's place in it, and the view from behind."""

    storage: FileStorage
    settings: Settings
    behind: Behind
    tenant_id: TenantId
    document_id: UUID

    @property
    def name(self) -> str:
        """Of the document's original."""
        return f"{self.tenant_id.hex}/{self.document_id.hex}"

    async def read(self) -> bytes:
        """The whole original."""
        async with self.storage.open(self.tenant_id, self.document_id) as reader:
            return await reader.read_at(0, reader.size)

    async def assert_nothing_left(self) -> None:
        """Neither originals, nor halves, nor copies."""
        assert (await self.behind.whole(), await self.behind.halves()) == ({}, [])
        assert self.copies() == []

    def copies(self) -> list[Path]:
        """Copies of originals on this machine."""
        return list((self.settings.data_dir / "copies").glob("*"))


@asynccontextmanager
async def kept_in(settings: Settings, behind: Behind) -> AsyncIterator[Kept]:
    """The storage of the settings."""
    async with open_storage(settings) as storage:
        yield Kept(storage, settings, behind, TenantId(uuid4()), uuid4())


async def pieces(size: int, of: int = 64 * 1024) -> AsyncIterator[bytes]:
    """So many bytes, in pieces; no two blocks of them alike."""
    for start in range(0, size, of):
        yield block(start, min(of, size - start))


def block(start: int, length: int) -> bytes:
    """What is there from a place on, in `pieces` of 64 KiB."""
    number = (start // (64 * 1024)).to_bytes(4, "big")
    return (number * (length // 4 + 1))[:length]


def environment(settings: Settings) -> dict[str, str]:
    """For a process of its own with the same storage."""
    values = {"DATA_DIR": str(settings.data_dir)}
    for name in ("s3_bucket", "s3_endpoint", "s3_prefix", "s3_timeout"):
        if (value := getattr(settings, name)) is not None:
            values[name.upper()] = str(value)
    for name in ("s3_access_key_id", "s3_secret_access_key"):
        if (secret := getattr(settings, name)) is not None:
            values[name.upper()] = secret.get_secret_value()
    paths = {"PYTHONPATH": f"{SOURCES}:{Path(__file__).parent}", "PATH": str(Path(sys.executable).parent)}
    return values | paths
