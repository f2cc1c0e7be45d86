"""A worker is killed at any point of a document, and the document is READY once, with each chunk once."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ingesting import job_services, queued, worker_process

import pdfs
from core.settings import Settings
from jobs.services import JobServices
from jobs.sweep_documents import sweep_documents
from owner import as_owner
from product import Product, running_product

pytestmark = [pytest.mark.long, pytest.mark.timeout(60)]  # a worker has to start, and the document be made again
PROGRAM = Path(__file__).parent / "dying_worker.py"
PAGES = 70
"""In two transactions of pages, and with more chunks than a batch of vectors has."""
INGESTION, VECTORS = "datastores.ingestion", "datastores.vectors"
TEXTS = "SELECT page, start, text FROM chunks WHERE document_id = $1 ORDER BY ordinal"


@dataclass(frozen=True)
class Point:
    """Where it dies, and how the document stands then: its status, and how many workers had claimed it."""

    told: str
    call: str
    nth: int
    status: str
    claims: int = 1


POINTS = [
    Point("the claim is not committed", f"after {INGESTION} claim", 1, "QUEUED", 0),
    Point("the claim is committed", "before datastores.document_news DocumentNews.tell", 1, "PARSING"),
    Point("pages have come from the parser", f"before {INGESTION} add_pages", 1, "PARSING"),
    Point("pages are stored without chunks, uncommitted", f"after {INGESTION} add_pages", 1, "PARSING"),
    Point("chunks are stored, uncommitted", f"after {INGESTION} add_chunks", 1, "PARSING"),
    Point("some of the pages are committed", f"before {INGESTION} add_pages", 2, "PARSING"),
    Point("the last pages are stored, uncommitted", f"after {INGESTION} add_chunks", 2, "PARSING"),
    Point("all of the text is committed", f"before {VECTORS} vectors_stored", 1, "PARSING"),
    Point("the first batch is embedded and not stored", f"before {VECTORS} add_embeddings", 1, "EMBEDDING"),
    Point("the first vectors are stored, uncommitted", f"after {VECTORS} add_embeddings", 1, "EMBEDDING"),
    Point("the first vectors are committed", f"before {VECTORS} add_embeddings", 2, "EMBEDDING"),
    Point("all vectors are committed", f"before {INGESTION} make_ready", 1, "EMBEDDING"),
    Point("it is READY, uncommitted", f"after {INGESTION} make_ready", 1, "EMBEDDING"),
    Point("it is READY, and arq has not heard of it", "after jobs.document_turns ingest", 1, "READY"),
]


@pytest.fixture(scope="module")
async def idle(lasting: Settings) -> AsyncIterator[Product]:
    """A product without a worker, for all tests of this file."""
    async with running_product(lasting, worker=False) as product:
        yield product


@pytest.fixture(scope="module")
async def services(idle: Product) -> AsyncIterator[JobServices]:
    """What the worker has that comes after the killed one."""
    async with job_services(idle.settings) as made:
        yield made


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.told)
async def test_a_document_comes_out_once_wherever_its_worker_is_killed(
    idle: Product, services: JobServices, point: Point
) -> None:
    await services.redis.flushdb()  # of what the last test's worker has left there
    document = await queued(idle, pdfs.leaflets(PAGES), "manual.pdf")
    dying = (str(PROGRAM), *point.call.split(), str(point.nth))
    async with worker_process(idle.settings, program=dying) as process:
        assert await process.wait() == -signal.SIGKILL
    cut_off = await document.state()
    assert (cut_off.status, cut_off.claims[0]) == (point.status, point.claims)
    await document.age()
    assert await sweep_documents({"services": services}) == (point.status != "READY")
    await document.run(services)
    state = await document.state()
    assert (state.status, state.chunks_done, state.pages_done) == ("READY", state.chunks_total, PAGES)
    assert await document.stored() == (PAGES, state.chunks_total)
    texts = [(page, text) for page, _, text in await as_owner(idle.settings, TEXTS, document.id)]
    assert texts == [(page, f"Ferry {page} leaves from pier {page}.") for page in range(1, PAGES + 1)]
