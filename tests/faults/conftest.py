"""API processes that can be killed, and a person who asks them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
from asking import TEXT, StartApi

from api_process import ApiProcess
from app.embedded.ports import free_port
from core.settings import Settings
from product import Person, running_product


@pytest.fixture
def slow(settings: Settings) -> Settings:
    """An answerer slow enough to be interrupted."""
    return settings.model_copy(update={"local_token_interval_ms": 60})


@pytest.fixture
async def start_api(slow: Settings, tmp_path: Path) -> AsyncIterator[StartApi]:
    """`await start_api(*options)`: another API process on the test's database, with a port of its own."""
    with ExitStack() as running:

        async def start(*options: str, settings: Settings = slow) -> ApiProcess:
            port = free_port()
            own = settings.model_copy(update={"port": port})
            own.model_fields_set.add("port")
            api = await ApiProcess.start(own, tmp_path / f"api-{port}.log", *options)
            running.callback(api.stop)
            return api

        yield start


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """For followers: each with a connection of its own."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
        yield session


@pytest.fixture
async def reader(slow: Settings) -> Person:
    """Somebody with a document, at a product in this process that has ended: the token and the rows are left."""
    async with running_product(slow) as product:
        person = await product.sign_up()
        await person.ready_document(TEXT)
    return person
