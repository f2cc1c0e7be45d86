"""What tests of jobs on documents begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ingesting import job_services

from core.settings import Settings
from jobs.services import JobServices
from product import Product, running_product
from wire import GeminiServer, gemini


@pytest.fixture
async def gemini_and_settings(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[GeminiServer, Settings]]:
    """The vendor, and settings of a product whose vectors are the vendor's."""
    # One call after the other, so that a script says which of a document's batches it is about.
    async with gemini(
        settings, tmp_path, embedding_provider="gemini", chat_provider="local", embedding_calls=1
    ) as both:
        yield both


@pytest.fixture
async def idle(settings: Settings) -> AsyncIterator[Product]:
    """A product without a worker."""
    async with running_product(settings, worker=False) as product:
        yield product


@pytest.fixture
async def services(idle: Product) -> AsyncIterator[JobServices]:
    """What a worker has."""
    async with job_services(idle.settings) as made:
        yield made
