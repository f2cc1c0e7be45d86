"""Whose document is read next: nobody waits behind another organisation's many documents, or its large one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial

import asyncpg
import pytest
from aiohttp import web
from ingesting import Queued, job_services, queued, worker

import pdfs
from app import worker as worker_module
from core.ids import TenantId
from core.settings import Settings
from datastores import ingestion
from datastores.document_turns import Turn, next_turn
from datastores.postgres import Purpose
from jobs import document_turns, ingest_document
from jobs.document_turns import TENANT_PLACES, Places
from jobs.services import JobServices
from openai_embeddings import EmbeddingsServer
from owner import as_owner, until
from product import Product, running_product

FERRIES, HARBOUR = b"Ferry %d leaves at noon.\n", b"The harbour of Vexholm freezes in December.\n"
BATCH = 20


class HoldingServer(EmbeddingsServer):
    """Keeps whatever speaks of ferries waiting while `free` is not set, which a harbour undoes."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()
        self.held = 0

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        texts = " ".join((await request.json())["input"])
        if "harbour" in texts:
            self.free.clear()
        elif "Ferry" in texts:
            self.held += 1
            await self.free.wait()
        return await super()._embeddings(request)

    async def until_held(self, count: int) -> None:
        """Look until so many calls are kept waiting."""

        async def there() -> bool:
            return self.held >= count

        await until(there)


@pytest.fixture
async def server() -> AsyncIterator[HoldingServer]:
    """The vendor."""
    one = HoldingServer()
    await one.start()
    try:
        yield one
    finally:
        one.free.set()
        await one.stop()


@pytest.fixture
async def idle(settings: Settings, server: HoldingServer) -> AsyncIterator[Product]:
    """A product without a worker."""
    changed = settings.model_copy(
        update={
            "chat_provider": "local",
            "embedding_provider": "openai",
            "openai_embedding_base_url": server.base_url,
            "openai_embedding_batch": BATCH,
        }
    )
    async with running_product(changed, worker=False) as product:
        yield product


@pytest.fixture
def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that sweep when they start, and not again for as long as a test takes."""
    monkeypatch.setattr(worker_module, "SWEEP_SECONDS", {(datetime.now(UTC).second + 30) % 60})


async def _many(idle: Product, count: int) -> list[Queued]:
    """Documents of one organisation."""
    person = await idle.sign_up()
    return [await queued(idle, FERRIES % number, f"{number}.txt", person) for number in range(count)]


async def _statuses(documents: list[Queued]) -> list[str]:
    return sorted([(await document.state()).status for document in documents])


@pytest.mark.usefixtures("no_sweep")
async def test_another_s_document_is_ready_while_one_organisation_has_its_places_and_more_that_wait(
    idle: Product, server: HoldingServer
) -> None:
    many = await _many(idle, TENANT_PLACES + 3)
    async with worker(idle.settings):
        await server.until_held(TENANT_PLACES)
        for _ in range(2):
            await (await queued(idle, HARBOUR)).until("READY")
        assert server.held == TENANT_PLACES
        assert await _statuses(many) == ["EMBEDDING"] * TENANT_PLACES + ["QUEUED"] * 3
        # Their wake-ups are long used up. Nobody is forgotten for it.
        server.free.set()
        for document in many:
            await document.until("READY")


async def test_the_next_is_of_who_is_worked_for_the_least_and_then_who_has_waited_the_longest(
    idle: Product,
) -> None:
    first, second, third = await _many(idle, 3)
    other, last = await queued(idle, HARBOUR), await queued(idle, HARBOUR)
    async with job_services(idle.settings) as services:
        assert await _next(services) == Turn(first.tenant, first.id)
        await _claim(services, first)
        assert await _next(services) == Turn(other.tenant, other.id)
        await _claim(services, other)
        assert await _next(services) == Turn(last.tenant, last.id)
        assert await _next(services, last.tenant) == Turn(second.tenant, second.id)
        assert await _next(services, last.tenant, first.tenant) is None
        # Where nobody has anything in hand, it is not who has waited since yesterday that gets all the turns.
        await as_owner(idle.settings, "UPDATE documents SET status = 'QUEUED'")
        for served, turn in (
            ((first,), last),
            ((first, last), other),
            ((last, other, first), last),
            ((other, first, last), other),
            ((first, other, last), second),
        ):
            found = await _next(services, served=[document.tenant for document in served])
            assert found == Turn(turn.tenant, turn.id)
        await other.change("status = 'READY'")
        # A worker that has vanished is no work for anybody; what it had is anybody's.
        await _claim(services, first)
        await first.age()
        await last.change("status = 'READY'")
        assert await _next(services) == Turn(first.tenant, first.id)
        await first.change("status = 'FAILED'")
        await as_owner(idle.settings, "UPDATE tenants SET suspended_at = now() WHERE id = $1", third.tenant)
        assert await _next(services) is None


@pytest.mark.usefixtures("no_sweep")
async def test_a_large_document_makes_room_between_two_batches_and_goes_on_where_it_was(
    idle: Product, server: HoldingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "Places", partial(Places, 1))
    monkeypatch.setattr(document_turns, "SLICE_SECONDS", 0.0)
    large = await queued(idle, pdfs.leaflets(200), "ferries.pdf")
    async with worker(idle.settings):
        await server.until_held(1)
        small = await queued(idle, HARBOUR)
        server.free.set()
        await small.until("READY")
        state = await large.state()
        assert state.status != "READY"
        assert 0 < state.chunks_done < 200
        server.free.set()
        done = await large.until("READY")
    assert (done.claims, await large.stored()) == ((2, 0), (200, 200))
    # Each passage was paid for once.
    assert sum(server.batches) == 201


async def test_a_large_document_keeps_its_place_while_there_are_others(
    idle: Product, server: HoldingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_turns, "SLICE_SECONDS", 0.0)
    server.free.set()
    large = await queued(idle, pdfs.leaflets(200), "ferries.pdf")
    async with worker(idle.settings):
        await queued(idle, FERRIES % 1)
        assert (await large.until("READY")).claims == (1, 0)


@pytest.mark.usefixtures("no_sweep")
async def test_a_fault_of_ours_with_one_document_holds_up_none_of_the_next(
    idle: Product, server: HoldingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "Places", partial(Places, 1))
    server.free.set()
    broken, *others = await _many(idle, 4)
    await broken.change("content_type = 'application/unheard-of'")
    async with worker(idle.settings):
        for document in others:
            await document.until("READY")
    assert (await broken.state()).status == "PARSING"


async def test_a_document_whose_row_somebody_holds_keeps_no_place_from_others(
    idle: Product, server: HoldingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a host that vanished in the middle of a transaction holds it, until PostgreSQL finds that out."""
    monkeypatch.setattr(worker_module, "Places", partial(Places, 1))
    monkeypatch.setattr(ingest_document, "CLAIM_SECONDS", 0.2)
    server.free.set()
    held = await queued(idle, FERRIES * 2)
    connection = await asyncpg.connect(idle.settings.database_owner_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM documents WHERE id = $1 FOR UPDATE", held.id)
            async with worker(idle.settings):
                await asyncio.sleep(0.5)  # it has come to that one, and waits
                other = await queued(idle, b"Tea is at four.")
                await other.until("READY")
    finally:
        await connection.close()


@pytest.mark.usefixtures("no_sweep")
async def test_a_job_has_another_one_go_on_after_its_time(
    idle: Product, server: HoldingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "Places", partial(Places, 1))
    monkeypatch.setattr(document_turns, "STINT_SECONDS", 0.0)
    server.free.set()
    documents = await _many(idle, 3)
    # One wake-up for all of them.
    await idle.services.redis.flushdb()
    await idle.services.queue.next_document()
    async with worker(idle.settings):
        for document in documents:
            await document.until("READY")


async def _next(services: JobServices, *without: TenantId, served: Sequence[TenantId] = ()) -> Turn | None:
    async with services.postgres.platform(Purpose.SWEEP) as tx:
        return await next_turn(tx, without, served)


async def _claim(services: JobServices, document: Queued) -> None:
    async with services.postgres.write(document.tenant) as tx:
        assert await ingestion.claim(tx, document.id) is not None
