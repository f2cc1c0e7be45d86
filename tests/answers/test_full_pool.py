"""All of the process's database connections in use: requests are told to come again, an answer waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conversing import TEXT, asked, attempts, calls, followed, hold, text_of

from core.settings import Settings
from product import running_product
from wire import GeminiServer, Say, gemini, in_time

VIEWER = "{ viewer { user { id } conversations { nodes { id } } } }"
WAIT_SECONDS = 0.2


@pytest.fixture
async def made(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[GeminiServer, Settings]]:
    few = {"database_pool_size": 2, "database_pool_overflow": 0, "database_pool_timeout": WAIT_SECONDS}
    async with gemini(settings.model_copy(update=few), tmp_path, chat_provider="gemini") as both:
        yield both


async def test_an_answer_that_finds_no_connection_for_its_end_waits_for_one(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        wait = hold(server, Say("At half past"))
        answer_id = await asked(person, await person.conversation())
        following = asyncio.create_task(followed(person, answer_id))
        await in_time(server.arrived.wait())
        postgres = product.services.postgres
        async with postgres.read(person.tenant_id), postgres.read(person.tenant_id):
            wait.event.set()
            refused = (await person.raw(VIEWER))["errors"][0]["extensions"]
            assert refused["code"] == "RATE_LIMITED"
            await asyncio.sleep(3 * WAIT_SECONDS)  # for longer than anybody else waits, which is what is tried
        events = await in_time(following)
        assert text_of(events) == TEXT
        assert events[-1]["__typename"] == "AnswerCompleted"
        assert events[-1]["answer"]["attempt"] == 1
        assert [row[-1] for row in await attempts(person)] == ["COMPLETE"]
        assert calls(server) == 1
