"""Questions that wait: their followers know it at once, and lose nothing when the answer begins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from conversing import ANSWER, TEXT, asked, followed, hold, kinds, text_of, whole

from core.settings import Settings
from datastores import redis_keys
from owner import until, uuid_of
from product import running_product
from wire import GeminiServer, gemini, in_time


@pytest.fixture
async def made(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[GeminiServer, Settings]]:
    async with gemini(settings, tmp_path, chat_provider="gemini") as both:
        yield both


async def test_a_second_question_says_that_it_waits_and_goes_on_from_there(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    async with (
        running_product(settings, worker=False) as product,
        running_product(settings, worker=False, flush=False) as other,
    ):
        person = await product.sign_up()
        conversation = await person.conversation()
        wait = hold(server, ANSWER[0])
        first, second = await asked(person, conversation), await asked(person, conversation)
        await in_time(server.arrived.wait())
        person.product = other
        seen: list[dict[str, Any]] = []
        async for event in person.follow(second):
            seen.append(event)
            wait.event.set()
        assert kinds(seen)[:4] == ["QUEUED", "Started", "RETRIEVING", "READING"]
        assert (text_of(seen), kinds(seen)[-1], whole(seen)) == (TEXT, "Completed", True)
        # Who was away while it began goes on after QUEUED; who comes later sees the same.
        assert await followed(person, second, seen[0]["cursor"]) == seen[1:]
        assert await followed(person, second) == seen
        assert kinds(await followed(person, first))[0] == "Started"


@pytest.mark.long
async def test_one_that_waits_for_a_slot_says_so(made: tuple[GeminiServer, Settings]) -> None:
    server, settings = made
    limited = settings.model_copy(update={"rate_limit_concurrent_answers": 2})
    async with running_product(limited, worker=False) as product:
        person, slots = await product.sign_up(), product.services.slots
        tenant_id, elsewhere = person.tenant_id, [uuid4(), uuid4()]
        conversation = await person.conversation()
        wait = hold(server, ANSWER[0])
        first, second = await asked(person, conversation), await asked(person, conversation)
        await in_time(server.arrived.wait())
        for holder in elsewhere:
            await slots.renew(tenant_id, holder)
        wait.event.set()
        await followed(person, first)

        async def waits() -> bool:
            return bool(await product.services.redis.zcard(redis_keys.answer_waits(tenant_id)))

        await until(waits)
        seen: list[dict[str, Any]] = []
        async for event in person.follow(second):
            seen.append(event)
            if len(seen) == 1:
                for holder in elsewhere:
                    await slots.release(tenant_id, holder)
        assert kinds(seen)[:2] == ["QUEUED", "Started"]
        assert (text_of(seen), whole(seen)) == (TEXT, True)


async def test_a_log_that_is_lost_while_it_waits_costs_a_restart_and_no_word(
    made: tuple[GeminiServer, Settings],
) -> None:
    server, settings = made
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        conversation = await person.conversation()
        wait = hold(server, ANSWER[0])
        _, second = await asked(person, conversation), await asked(person, conversation)
        await in_time(server.arrived.wait())
        seen: list[dict[str, Any]] = []
        async for event in person.follow(second):
            seen.append(event)
            if len(seen) == 1:
                await product.services.redis.delete(
                    redis_keys.answer_log(person.tenant_id, uuid_of(second)),
                    redis_keys.answer_meta(person.tenant_id, uuid_of(second)),
                )
                wait.event.set()
        assert kinds(seen)[:2] == ["QUEUED", "Restarted"]
        assert (text_of(seen), whole(seen)) == (TEXT, True)
