"""The database goes away under a running job and comes back: the worker that lives goes on by itself, at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ingesting import job_services, log_lines, queued, worker

import pdfs
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.processes import at_once
from core.settings import Settings
from datastores import ingestion
from datastores.migrate import migrate
from owner import until
from product import Product, running_product
from wire import relayed

pytestmark = [pytest.mark.long, pytest.mark.timeout(60)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that the test may kill."""
    own = EmbeddedPostgres(tmp_path / "own", scratch=True)
    own.start()
    yield own
    own.stop(at_once)


@pytest.fixture
async def idle(settings: Settings, server: EmbeddedPostgres) -> AsyncIterator[Product]:
    """A product on that server, without a worker."""
    urls = {
        "database_owner_url": server.owner_url,
        "database_url": server.app_url,
        "database_platform_url": server.platform_url,
    }
    own = settings.model_copy(update=urls)
    await migrate(own)
    async with running_product(own, worker=False) as product:
        yield product


async def test_a_worker_goes_on_as_soon_as_a_killed_database_is_back(idle: Product, server: EmbeddedPostgres) -> None:
    document = await queued(idle, pdfs.leaflets(200), "manual.pdf")
    async with worker(idle.settings):
        for number in range(1, 4):

            async def claimed_again(number: int = number) -> bool:
                state = await document.state()
                assert state.status not in ("READY", "FAILED")
                return state.claims[0] == number and state.pages_done > 0

            await until(claimed_again)
            await asyncio.to_thread(server.stop, at_once)  # SIGKILL
            await asyncio.to_thread(server.start)
        back = time.monotonic()
        state = await document.until("READY", "FAILED")
        assert time.monotonic() - back < ingestion.STALE_AFTER.total_seconds() * 0.7
    assert (state.status, state.claims) == ("READY", (4, 0))
    assert (await document.stored())[0] == 200


async def test_a_document_is_claimed_once_the_database_is_there(settings: Settings) -> None:
    assert settings.database_url is not None
    async with (
        relayed(settings.database_url) as (url, relay),
        running_product(settings, worker=False) as product,
    ):
        document = await queued(product, b"The harbour of Vexholm freezes in December.\n")
        async with job_services(settings.model_copy(update={"database_url": url})) as services:
            await relay.close()
            with log_lines("datastores.outages") as lines:
                running = asyncio.create_task(document.run(services))
                await until(lambda: _said(lines, 3))
            assert (await document.state()).status == "QUEUED"
            await relay.listen_again()
            await running
        state = await document.state()
        assert (state.status, state.claims) == ("READY", (1, 0))


async def test_a_worker_without_a_database_can_be_stopped(settings: Settings) -> None:
    assert settings.database_url is not None
    async with (
        relayed(settings.database_url) as (url, relay),
        running_product(settings, worker=False) as product,
    ):
        document = await queued(product, pdfs.leaflets(300), "manual.pdf")
        async with job_services(settings.model_copy(update={"database_url": url})) as services:
            running = asyncio.create_task(document.run(services))
            await document.until("PARSING", "EMBEDDING")
            with log_lines("datastores.outages") as lines:
                await relay.close()
                await until(lambda: _said(lines, 2))
                began = time.monotonic()
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running
            assert running.cancelled()
            assert time.monotonic() - began < 6


async def _said(lines: list[logging.LogRecord], times: int) -> bool:
    """Whether the job has noticed so many times that the database is away."""
    return len(lines) >= times
