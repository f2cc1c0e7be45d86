"""The flow from pages to vectors: read and embedded at the same time, by a bounded number of calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
from aiohttp import web
from ingesting import Queued, queued

import pdfs
from core.settings import Settings
from jobs import embedding, ingest_document
from jobs.services import JobServices
from openai_embeddings import EmbeddingsServer, vector_of
from openai_server import Refuse
from owner import as_owner, until
from product import Product, running_product

BATCH, CALLS = 20, 3
PAGES = 180


class GatedServer(EmbeddingsServer):
    """Answers as long as `open` is set; knows how many calls it has at once."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.now = self.most = 0
        self.times: list[float] = []

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        self.now += 1
        self.most = max(self.most, self.now)
        self.times.append(time.monotonic())
        try:
            if (await request.json())["input"] != ["warm"]:
                await self.open.wait()
            return await super()._embeddings(request)
        finally:
            self.now -= 1


@pytest.fixture
async def server() -> AsyncIterator[GatedServer]:
    """The vendor."""
    one = GatedServer()
    await one.start()
    try:
        yield one
    finally:
        one.open.set()
        await one.stop()


@pytest.fixture
async def settings(settings: Settings, server: GatedServer) -> Settings:
    """Of a product whose vectors are the vendor's."""
    return settings.model_copy(
        update={
            "chat_provider": "local",
            "embedding_provider": "openai",
            "openai_embedding_base_url": server.base_url,
            "openai_embedding_batch": BATCH,
            "embedding_calls": CALLS,
        }
    )


@pytest.fixture
async def idle(settings: Settings) -> AsyncIterator[Product]:
    """A product without a worker."""
    async with running_product(settings, worker=False) as product:
        yield product


@pytest.fixture
async def large(idle: Product) -> Queued:
    """Nine batches of the provider's, in four of pages."""
    return await queued(idle, pdfs.leaflets(PAGES), "ferries.pdf")


async def test_a_vendor_has_no_more_calls_at_once_than_are_set_and_as_many_where_there_is_work(
    large: Queued, services: JobServices, server: GatedServer
) -> None:
    running = asyncio.create_task(large.run(services))

    async def full() -> bool:
        return server.now == CALLS and (await large.state()).status == "EMBEDDING"

    await until(full)
    server.open.set()
    await running
    assert server.most == CALLS
    assert server.batches == [BATCH] * (PAGES // BATCH)
    assert await large.stored() == (PAGES, PAGES)
    # Each passage has its own vector, in the precision that is stored.
    statement = "SELECT c.text, e.vector::real[] FROM embeddings e JOIN chunks c ON c.id = e.chunk_id"
    for text, stored in await as_owner(large.settings, statement):
        vector = np.array(vector_of(text, len(stored)), dtype=np.float32)
        np.testing.assert_allclose(stored, vector / np.linalg.norm(vector), atol=1e-4)


async def test_passages_are_embedded_while_the_rest_is_read(
    large: Queued, services: JobServices, server: GatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.open.set()
    reading = asyncio.Event()
    parse = ingest_document.parse

    async def held_up(*arguments: object) -> AsyncIterator[object]:
        """A parser whose last page does not come before it may."""
        async for item in parse(*arguments):  # type: ignore[arg-type]
            if getattr(item, "number", None) == PAGES:
                await reading.wait()
            yield item

    monkeypatch.setattr(ingest_document, "parse", held_up)
    running = asyncio.create_task(large.run(services))

    async def all_that_is_there() -> bool:
        return (await large.state()).chunks_done >= 140

    await until(all_that_is_there)
    state = await large.state()
    # Whole batches alone: what is left over of 150 pages waits for more.
    assert (state.status, state.pages_done, state.chunks_done, state.chunks_total) == ("PARSING", 150, 140, None)
    reading.set()
    await running
    assert (await large.state()).status == "READY"
    assert server.batches == [BATCH] * (PAGES // BATCH)
    assert await large.stored() == (PAGES, PAGES)


async def test_a_model_that_fails_while_a_document_is_read_leaves_its_whole_text_for_the_retry(
    large: Queued, services: JobServices, server: GatedServer
) -> None:
    server.open.set()
    server.faults = [Refuse(401)]
    await large.run(services)
    state = await large.state()
    assert (state.status, state.code, state.pages_done, state.chunks_total) == ("FAILED", "PROVIDER_AUTH", PAGES, PAGES)
    rows = await large.rows()
    assert (rows["pages"], rows["chunks"]) == (PAGES, PAGES)
    # What was answered beside it is paid for, and stored.
    assert rows["embeddings"] == state.chunks_done == sum(server.batches) - BATCH <= CALLS * BATCH


async def test_a_vendor_that_asks_to_wait_is_left_alone_by_all_calls(
    large: Queued, services: JobServices, server: GatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "EMBEDDING_BACKOFF", 0.01)
    server.open.set()
    server.times.clear()
    server.faults = [Refuse(429, headers={"Retry-After": "1"})]
    await large.run(services)
    assert (await large.state()).status == "READY"
    assert await large.stored() == (PAGES, PAGES)
    # Those that were under way beside the one that was refused, and then nothing for a second.
    began = server.times[0]
    assert len([moment for moment in server.times if moment < began + 1.0]) <= CALLS
