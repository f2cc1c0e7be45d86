"""What every storage of originals does: the folder, and a bucket of a real S3-compatible server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from datastores.storage.base import FileTooLargeError
from datastores.storage.opening import open_storage
from datastores.storage.s3 import PART_BYTES
from s3_server import S3Server
from storages import BOTH, MIB, FolderBehind, Kept, S3Behind, block, environment, kept_in, pieces

CHILD = Path(__file__).with_name("storage_child.py")


class BrokenOff(Exception):
    """What an upload that breaks off raises."""


@pytest.fixture(params=BOTH)
async def kept(request: pytest.FixtureRequest, s3: S3Server, tmp_path: Path, prefix: str) -> AsyncIterator[Kept]:
    """One storage, then the other."""
    settings = Settings(data_dir=tmp_path / "data")
    if request.param == "folder":
        async with kept_in(settings, FolderBehind(tmp_path / "data" / "files")) as one:
            yield one
    else:
        async with kept_in(s3.settings(settings, prefix), S3Behind(s3, prefix)) as one:
            yield one


async def save(kept: Kept, source: AsyncIterator[bytes], most: int = 100 * MIB) -> Any:
    """Save the document."""
    return await kept.storage.save(kept.tenant_id, kept.document_id, source, most)


@asynccontextmanager
async def child(kept: Kept, what: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The other process, killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, CHILD, what, kept.tenant_id.hex, kept.document_id.hex),
        env=environment(kept.settings),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def told(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Its next line."""
    assert process.stdout is not None
    return json.loads(await process.stdout.readline())  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", [0, 1, 4_097, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 12_345])
async def test_what_is_saved_is_read_back_to_the_byte(kept: Kept, size: int) -> None:
    whole = b"".join([piece async for piece in pieces(size)])
    # Pieces that end nowhere near the end of a part.
    stored = await save(kept, pieces(size, 64 * 1024), size)
    assert (stored.byte_size, stored.sha256) == (size, hashlib.sha256(whole).hexdigest())
    assert stored.head == whole[:4096]
    assert await kept.read() == whole
    async with kept.storage.local(kept.tenant_id, kept.document_id) as path:
        assert path.read_bytes() == whole
    assert await kept.behind.whole() == {kept.name: size}
    assert await kept.behind.halves() == []


@pytest.mark.parametrize("of", [1_000_003, PART_BYTES, 3 * PART_BYTES + 1])
async def test_pieces_of_any_size_make_the_same_file(kept: Kept, of: int) -> None:
    whole = b"".join([piece async for piece in pieces(3 * PART_BYTES + 1)])

    async def cut() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), of):
            yield whole[start : start + of]

    assert (await save(kept, cut())).sha256 == hashlib.sha256(whole).hexdigest()
    assert await kept.read() == whole


async def test_any_part_of_it_can_be_read(kept: Kept) -> None:
    await save(kept, pieces(3 * MIB))
    whole = b"".join([piece async for piece in pieces(3 * MIB)])
    async with kept.storage.open(kept.tenant_id, kept.document_id) as reader:
        assert reader.size == len(whole)
        for start, length in ((0, 1), (10, 70_000), (MIB - 1, 2), (5, MIB), (2 * MIB + 7, MIB), (0, 3 * MIB), (MIB, 9)):
            assert await reader.read_at(start, length) == whole[start : start + length], (start, length)
        assert await reader.read_at(len(whole), 10) == b""
        assert await reader.read_at(len(whole) + 10, 10) == b""


@pytest.mark.parametrize("size", [1_000, 2 * PART_BYTES + 1])
async def test_a_file_that_is_too_large_is_given_up_and_nothing_is_left(kept: Kept, size: int) -> None:
    with pytest.raises(FileTooLargeError):
        await save(kept, pieces(size), size - 1)
    await kept.assert_nothing_left()
    assert (await save(kept, pieces(size), size)).byte_size == size


@pytest.mark.parametrize("size", [0, 1_000, 2 * PART_BYTES + 1])
async def test_an_upload_that_breaks_off_leaves_nothing(kept: Kept, size: int) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for piece in pieces(size):
            yield piece
        raise BrokenOff

    with pytest.raises(BrokenOff):
        await save(kept, broken())
    await kept.assert_nothing_left()


async def test_an_upload_that_is_cancelled_leaves_nothing(kept: Kept) -> None:
    reached = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        async for piece in pieces(2 * PART_BYTES + 1):
            yield piece
        reached.set()
        await asyncio.Event().wait()

    saving = asyncio.create_task(save(kept, slow()))
    await reached.wait()
    assert await kept.behind.halves() != []
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    await kept.assert_nothing_left()


async def test_what_is_not_there_is_told_and_can_be_deleted(kept: Kept) -> None:
    with pytest.raises(FileNotFoundError):
        async with kept.storage.open(kept.tenant_id, kept.document_id):
            pass
    with pytest.raises(FileNotFoundError):
        async with kept.storage.local(kept.tenant_id, kept.document_id):
            pass
    await kept.storage.delete(kept.tenant_id, kept.document_id)
    await save(kept, pieces(10))
    for _ in range(2):
        await kept.storage.delete(kept.tenant_id, kept.document_id)
        await kept.assert_nothing_left()


async def test_deleting_one_original_leaves_the_others(kept: Kept) -> None:
    await save(kept, pieces(10))
    await kept.storage.save(kept.tenant_id, kept.tenant_id, pieces(20), MIB)
    await kept.storage.delete(kept.tenant_id, kept.tenant_id)
    assert await kept.behind.whole() == {kept.name: 10}
    assert await kept.read() == block(0, 10)


async def test_a_copy_is_private_and_gone_afterwards_also_after_a_failure(kept: Kept) -> None:
    await save(kept, pieces(2 * MIB))

    async def fail_with_it() -> None:
        async with kept.storage.local(kept.tenant_id, kept.document_id) as path:
            if isinstance(kept.behind, S3Behind):
                assert kept.copies() == [path]
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            raise BrokenOff

    with pytest.raises(BrokenOff):
        await fail_with_it()
    assert kept.copies() == []
    assert await kept.behind.whole() == {kept.name: 2 * MIB}


@pytest.mark.long
async def test_what_a_killed_process_has_left_of_an_upload_goes_with_the_original(kept: Kept) -> None:
    async with child(kept, "stall") as process:
        assert await told(process) == {"stalled": True}
    assert await kept.behind.whole() == {}
    assert [name.removesuffix(".part") for name in await kept.behind.halves()] == [kept.name]
    await kept.storage.delete(kept.tenant_id, kept.document_id)
    await kept.assert_nothing_left()


@pytest.mark.long
async def test_a_copy_whose_process_was_killed_is_removed_by_the_next_and_one_in_use_is_not(
    s3: S3Server, tmp_path: Path, prefix: str
) -> None:
    settings = s3.settings(Settings(data_dir=tmp_path / "data"), prefix)
    async with kept_in(settings, S3Behind(s3, prefix)) as kept:
        await save(kept, pieces(MIB))
        async with child(kept, "copy") as process:
            path = Path((await told(process))["path"])
            async with open_storage(settings):
                assert kept.copies() == [path]
        assert kept.copies() == [path]
        async with open_storage(settings):
            assert kept.copies() == []


@pytest.mark.long
async def test_200_mb_go_through_with_64_mb_of_memory(kept: Kept) -> None:
    async with child(kept, "stream") as process:
        result = await told(process)
        assert await process.wait() == 0
    assert result["grown"] < 64 * MIB


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this limit does not count memory that is mapped")
async def test_whoever_gathers_them_first_runs_into_that_limit(kept: Kept) -> None:
    async with child(kept, "hoard") as process:
        assert await told(process) == {"error": "MemoryError"}
