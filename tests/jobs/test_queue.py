"""Waking workers through a Redis that hangs: nobody waits for it, and it comes late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.embedded.redis import EmbeddedRedis
from core.ids import TenantId
from core.settings import Settings
from datastores import redis_keys
from datastores.redis_client import make_redis
from jobs.queue import JobQueue
from own_servers import frozen, own_redis
from owner import until


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    """A server of the test's own, to be stopped and continued."""
    async with own_redis(tmp_path) as own:
        yield own


@pytest.fixture
async def redis(server: EmbeddedRedis) -> AsyncIterator[Redis]:
    client = make_redis(Settings(redis_url=server.url))
    yield client
    await client.aclose()


@pytest.fixture
async def queue(redis: Redis) -> AsyncIterator[JobQueue]:
    """A queue that is connected: it has one mail's job."""
    own = JobQueue(redis)
    await own.deliver_mail()
    yield own
    await own.aclose()


async def test_a_job_is_not_waited_for_and_comes_late(server: EmbeddedRedis, redis: Redis, queue: JobQueue) -> None:
    with capture_logs() as lines, frozen(server):
        began = time.monotonic()
        await queue.ingest_document(TenantId(uuid4()), uuid4())
        await queue.deliver_mail()
        assert time.monotonic() - began < 2
    assert [(line["event"], line["job"], line["error"]) for line in lines] == [
        ("job not enqueued", "ingest_document", "TimeoutError"),
        ("job not enqueued", "deliver_mail", "TimeoutError"),
    ]

    async def both() -> bool:
        return (await redis.zcard(redis_keys.QUEUE), await redis.zcard(redis_keys.MAIL_QUEUE)) == (1, 2)

    async with asyncio.timeout(5):
        await until(both)


async def test_a_process_that_ends_does_not_wait_for_it(server: EmbeddedRedis, queue: JobQueue) -> None:
    with frozen(server):
        await queue.deliver_mail()
        async with asyncio.timeout(3):
            await queue.aclose()
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "enqueue"]
