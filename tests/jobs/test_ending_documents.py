"""Cancelling and deleting a document that a worker has in hand: it stops within a second, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psutil
import pytest
from ingesting import OneByOne, Queued, a_parser, batches, log_lines, queued

import pdfs
from core.settings import Settings
from jobs.services import JobServices
from lifecycle import CANCEL, DELETE, RETRY, assert_nothing_left, change, found
from owner import kept_files, until
from product import PROGRESS, Person, Product, running_product
from wire import GeminiServer, Until

pytestmark = pytest.mark.long
ENDS_WITHIN = 1.0
"""Seconds from the mutation's beginning."""


@pytest.fixture
def server(gemini_and_settings: tuple[GeminiServer, Settings]) -> GeminiServer:
    """The vendor."""
    return gemini_and_settings[0]


@pytest.fixture
async def idle(gemini_and_settings: tuple[GeminiServer, Settings]) -> AsyncIterator[Product]:
    """A product without a worker."""
    async with running_product(gemini_and_settings[1], worker=False) as product:
        yield product


async def _in_the_parser(
    idle: Product, services: JobServices, person: Person
) -> tuple[Queued, asyncio.Task[None], psutil.Process]:
    document = await queued(idle, pdfs.nested_forms(), "hostile.pdf", person)
    running = asyncio.create_task(document.run(services))
    parser = await a_parser()

    async def opened() -> bool:
        return (await document.state()).pages_total is not None

    # From here on nothing is written until the page is done, which takes longer than any test.
    await until(opened)
    return document, running, parser


async def _at_the_provider(
    idle: Product, services: JobServices, server: GeminiServer, person: Person
) -> tuple[Queued, asyncio.Task[None]]:
    """A document whose first batch is done, and whose second is with the vendor, who takes as long as it likes."""
    document = await queued(idle, pdfs.manual(120), "manual.pdf", person)
    server.embedding_script = OneByOne([], [Until()])
    running = asyncio.create_task(document.run(services))

    async def begun() -> bool:
        return (await document.state()).chunks_done > 0 and len(batches(server)) == 2

    await until(begun)
    assert not running.done()
    return document, running


async def test_a_document_is_cancelled_while_it_is_read(idle: Product, services: JobServices) -> None:
    person = await idle.sign_up()
    document, running, parser = await _in_the_parser(idle, services, person)
    events = person.subscribe(PROGRESS, "documentProgress", id=document.name)
    await anext(events)
    async with asyncio.timeout(ENDS_WITHIN):
        result = await change(person, CANCEL, document.name)
        last = [event["status"] async for event in events][-1]
        with log_lines("jobs.ingest_document") as lines:
            await running
    assert (result["document"]["status"], last) == ("CANCELLED", "CANCELLED")
    assert not parser.is_running()
    assert ["cancelled, deleted or taken over" in str(line) for line in lines] == [True]
    assert await document.rows() == {"pages": 0, "chunks": 0, "embeddings": 0}
    assert (await document.state()).status == "CANCELLED"
    # The file stays: it may be wanted after all.
    assert len(kept_files(person)) == 1


async def test_a_document_is_cancelled_after_its_first_pages(idle: Product, services: JobServices) -> None:
    person = await idle.sign_up()
    document = await queued(idle, pdfs.leaflets(1_000), "leaflets.pdf", person)
    running = asyncio.create_task(document.run(services))

    async def some_pages() -> bool:
        return (await document.state()).pages_done > 0

    await until(some_pages)
    state = await document.state()
    assert (state.status, state.chunks_total) == ("PARSING", None)
    async with asyncio.timeout(ENDS_WITHIN):
        await change(person, CANCEL, document.name)
        await running
    assert await document.rows() == {"pages": 0, "chunks": 0, "embeddings": 0}
    assert (await document.state()).status == "CANCELLED"


async def test_a_document_is_cancelled_while_it_is_embedded_and_goes_on_from_there(
    idle: Product, services: JobServices, server: GeminiServer
) -> None:
    person = await idle.sign_up()
    document, running = await _at_the_provider(idle, services, server, person)
    events = person.subscribe(PROGRESS, "documentProgress", id=document.name)
    await anext(events)
    async with asyncio.timeout(ENDS_WITHIN):
        await change(person, CANCEL, document.name)
        last = [event["status"] async for event in events][-1]
        await running
    assert last == "CANCELLED"
    rows, asked = await document.rows(), batches(server)
    server.embedding_script = []
    assert 0 < rows["embeddings"] < rows["chunks"]
    assert await found(person, await document.text()) == []
    await document.run(services)
    assert (await document.state()).status == "CANCELLED"
    assert batches(server) == asked
    assert (await change(person, RETRY, document.name))["document"]["progress"]["chunksDone"] == rows["embeddings"]
    server.asked = []
    await document.run(services)
    assert (await document.state()).status == "READY"
    assert await document.stored() == (120, rows["chunks"])
    assert sum(batches(server)) == rows["chunks"] - rows["embeddings"]
    assert await found(person, await document.text()) != []


async def test_a_document_is_deleted_while_it_is_read(idle: Product, services: JobServices) -> None:
    person = await idle.sign_up()
    document, running, parser = await _in_the_parser(idle, services, person)
    events = person.subscribe(PROGRESS, "documentProgress", id=document.name)
    await anext(events)
    async with asyncio.timeout(ENDS_WITHIN):
        assert (await change(person, DELETE, document.name))["documentId"] == document.name
        # Whoever watched it hears no more of it.
        assert {event["status"] async for event in events} <= {"PARSING"}
        await running
    assert not parser.is_running()
    await assert_nothing_left(person)


async def test_a_document_is_deleted_while_it_is_embedded(
    idle: Product, services: JobServices, server: GeminiServer
) -> None:
    person = await idle.sign_up()
    document, running = await _at_the_provider(idle, services, server, person)
    async with asyncio.timeout(ENDS_WITHIN):
        await change(person, DELETE, document.name)
        await running
    await assert_nothing_left(person)


async def test_a_document_that_was_cancelled_and_retried_in_one_moment_is_made_once(
    idle: Product, services: JobServices
) -> None:
    person = await idle.sign_up()
    document, running, _ = await _in_the_parser(idle, services, person)
    await change(person, CANCEL, document.name)
    await change(person, RETRY, document.name)
    # Another worker has it before the first one has looked, and is done with it soon: its syntax is text.
    await document.change("content_type = 'text/plain'")
    await document.run(services)
    await running
    state = await document.state()
    # A claim, the retry, and the other claim.
    assert (state.status, state.claims) == ("READY", (3, 0))
    assert await document.stored() == (1, state.chunks_total)
