"""The API that is attacked, and the viewer beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path

import aiohttp
import asyncpg
import by_document
import pytest
from measuring import Door, Quiet, measure_once
from target import Target
from viewer import WORD_MS, Viewer, text

from api_process import ApiProcess
from app.embedded.ports import free_port
from app.embedded.processes import at_once
from app.embedded.redis import EmbeddedRedis
from app.services import api_services
from app.worker import run_worker
from core.settings import MOST_PER_MINUTE, Settings
from core.tasks import end_tasks
from product import PASSWORD, Person, Product

UNLIMITED = {name: MOST_PER_MINUTE for name in Settings.model_fields if name.startswith("rate_limit_")}
"""What the rate limiter refuses says nothing about the rest of the door."""
IMPATIENT = {"request_timeout": 1.0, "socket_init_timeout": 1.0}
"""So that a test does not wait for the usual 10 and 30 seconds."""
QUIET_SECONDS = 1.5


@pytest.fixture(scope="session")
def attacked_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For what belongs to the API that is attacked."""
    return tmp_path_factory.mktemp("attacks")


@pytest.fixture(scope="session")
def attacked_settings(
    settings_with_redis: Callable[[str], AbstractContextManager[Settings]], attacked_folder: Path
) -> Iterator[Settings]:
    """The default limits, but for rates and patience; a Redis of its own, because other tests empty theirs."""
    redis = EmbeddedRedis(attacked_folder, scratch=True)
    redis.start()
    try:
        with settings_with_redis(redis.url) as own:
            changed = {"port": free_port(), "local_token_interval_ms": WORD_MS} | UNLIMITED | IMPATIENT
            needed = {name for name in own.model_fields_set if not name.startswith("socket")}
            yield Settings(**own.model_dump(include=needed) | changed)
    finally:
        redis.stop(at_once)


@pytest.fixture(scope="session")
async def door(attacked_settings: Settings, attacked_folder: Path) -> AsyncIterator[Door]:
    """The API, the viewer, the victim and the attacker."""
    settings = attacked_settings
    async with AsyncExitStack() as stack:
        api = await ApiProcess.start(settings, attacked_folder / "api.log")
        stack.callback(api.stop)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        services = await stack.enter_async_context(api_services(settings, sweeping=False))
        product = Product(api.url, settings, services, http)
        watching, victim, attacker = [await product.sign_up() for _ in range(3)]
        working = asyncio.create_task(run_worker(settings))
        await watching.ready_document(text())
        await end_tasks([working])
        waiting = (await attacker.upload(b"Nobody reads this: no worker runs.", "waiting.txt"))["document"]["id"]
        viewer = await Viewer.start(api.url, watching.token)
        stack.push_async_callback(viewer.stop)
        cookie = await _refresh_token(victim)
        target = Target(api.url, settings, services.signer, http, victim, cookie, attacker, waiting)
        owner = await asyncpg.connect(settings.database_owner_url)
        stack.push_async_callback(owner.close)
        yield Door(target, api, viewer, await _quiet(target, api, viewer), owner)


async def _refresh_token(person: Person) -> str:
    query = """mutation($input: SignInInput!) { signIn(input: $input) {
      ... on SignInPayload { session { refreshToken } } ... on UserError { code } } }"""
    body = await person.product.post(query, {"input": {"email": person.email, "password": PASSWORD}})
    return body["data"]["signIn"]["session"]["refreshToken"]  # type: ignore[no-any-return]


async def _quiet(target: Target, api: ApiProcess, viewer: Viewer) -> Quiet:
    await viewer.in_an_answer(QUIET_SECONDS)
    start, cpu = time.monotonic(), api.cpu_seconds()
    await asyncio.sleep(QUIET_SECONDS)  # the time that is measured
    end, spent = time.monotonic(), api.cpu_seconds() - cpu
    share, gap = spent / (end - start), await viewer.longest_gap(start, end)
    return Quiet(share, gap, await measure_once(by_document.HONEST_REQUEST, target, api, viewer, share))
