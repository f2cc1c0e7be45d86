"""Files that are to go: whoever was to remove them may be killed at any moment, and none stays behind for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from ingesting import log_lines

from api_process import ApiProcess
from app.embedded.ports import free_port
from jobs.services import JobServices
from jobs.sweep_files import sweep_files
from lifecycle import DELETE, WAITING, assert_nothing_left, change, removals
from owner import as_owner, counts, kept_files, until
from product import Person, Product

TEXT = b"The harbour of Vexholm freezes in December.\n"


@asynccontextmanager
async def nobody_adds(product: Product) -> AsyncIterator[None]:
    """An upload inside the block is written to storage, and then waits until the block's end to be recorded."""
    connection = await asyncpg.connect(product.settings.database_owner_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM tenants FOR NO KEY UPDATE")
            yield
    finally:
        await connection.close()


async def due(person: Person) -> None:
    """As if the time for recording what is being uploaded were over."""
    statement = "UPDATE outbox SET next_try_at = now() WHERE tenant_id = $1 AND topic = 'file'"
    await as_owner(person.product.settings, statement, person.tenant_id)


async def written(person: Person) -> None:
    """Wait until an upload's file is in storage and its row is waited for."""

    async def waits() -> bool:
        return await as_owner(person.product.settings, WAITING) == [(1,)]

    await until(waits)
    assert [file.suffix for file in kept_files(person)] == [""]


@pytest.mark.long
async def test_an_upload_whose_process_is_killed_before_it_is_recorded_leaves_no_file(
    idle: Product, services: JobServices, tmp_path: Path
) -> None:
    person = await idle.sign_up()
    its_own = idle.settings.model_copy(update={"port": free_port(), "host": "127.0.0.1"})
    api = await ApiProcess.start(its_own, tmp_path / "api.log")
    try:
        elsewhere = replace(person, product=replace(idle, url=api.url))
        async with nobody_adds(idle):
            uploading = asyncio.create_task(elsewhere.upload(TEXT))
            await written(person)
            api.stop()  # with SIGKILL
            with pytest.raises(aiohttp.ClientError):
                await uploading
    finally:
        api.stop()
    (document,) = await removals(person)
    assert [file.name for file in kept_files(person)] == [document.hex]
    assert (await counts(person))["documents"] == 0
    # It might be in somebody's hands still.
    assert await sweep_files({"services": services}) == 0
    assert len(kept_files(person)) == 1
    await due(person)
    assert await sweep_files({"services": services}) == 1
    await assert_nothing_left(person)


async def test_a_file_that_is_half_written_goes_too(idle: Product, services: JobServices) -> None:
    person = await idle.sign_up()
    async with nobody_adds(idle):
        uploading = asyncio.create_task(person.upload(TEXT))
        await written(person)
        (file,) = kept_files(person)
        # As a process that is killed in the middle leaves it.
        file.rename(file.with_suffix(".part"))
        await due(person)
        assert await sweep_files({"services": services}) == 1
        assert (kept_files(person), await removals(person)) == ([], [])
        uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading


async def test_an_upload_that_was_given_up_is_not_recorded_without_its_file(
    idle: Product, services: JobServices
) -> None:
    person = await idle.sign_up()
    async with nobody_adds(idle):
        uploading = asyncio.create_task(idle.upload_raw(person.token, TEXT, "notes.txt"))
        await written(person)
        await due(person)
        assert await sweep_files({"services": services}) == 1
    body = await uploading
    assert body["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert "recorded in time" not in str(body)
    await assert_nothing_left(person)


async def test_a_file_that_storage_does_not_remove_is_tried_again_later(idle: Product, services: JobServices) -> None:
    person = await idle.sign_up()
    document_id = (await person.upload(TEXT))["document"]["id"]
    (file,) = kept_files(person)
    file.unlink()
    file.mkdir()
    await change(person, DELETE, document_id)
    with log_lines("jobs.sweep_files") as lines:
        assert await sweep_files({"services": services}) == 0
    assert ["file not removed yet" in str(line) for line in lines] == [True]
    assert len(await removals(person)) == 1
    # Not at once: others are behind it.
    assert await sweep_files({"services": services}) == 0
    file.rmdir()
    file.write_bytes(TEXT)
    await due(person)
    assert await sweep_files({"services": services}) == 1
    await assert_nothing_left(person)


async def test_a_kept_file_is_never_removed(idle: Product, services: JobServices) -> None:
    person = await idle.sign_up()
    await person.upload(TEXT)
    await person.upload(TEXT, "again.txt")
    assert await removals(person) == []
    await due(person)
    assert await sweep_files({"services": services}) == 0
    assert len(kept_files(person)) == 1
