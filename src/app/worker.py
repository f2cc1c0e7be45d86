"""The worker process: arq's loop around our jobs."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from typing import Any

import structlog
from arq import cron, func
from arq.connections import ArqRedis
from arq.worker import Worker
from redis.asyncio import Redis

from app.services import job_services
from core.settings import Settings
from core.tasks import end_tasks
from datastores import redis_keys
from datastores.redis_client import REDIS_ERRORS, make_redis
from jobs.ingest_document import ingest_document
from jobs.services import JobServices
from jobs.sweep_documents import sweep_documents

MAX_JOBS = 2
"""Documents at once: reading and embedding use all cores as it is."""
JOB_SECONDS = 6 * 3600
POLL_SECONDS = 0.1
HEALTH_SECONDS = 2
RECONNECT_SECONDS = 1.0
log = structlog.get_logger(__name__)


async def run_worker(settings: Settings, stop: asyncio.Event | None = None) -> None:
    """Work until `stop` is set or this task is cancelled. Raises `ConfigurationError` when it is not set up safely."""
    stop = stop or asyncio.Event()
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(job_services(settings))
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stopping.done():
                try:
                    await _work_until(stopping, services, make_redis(settings))
                except REDIS_ERRORS as error:
                    log.warning("queue unreachable", error=type(error).__name__)
                    await asyncio.wait({stopping}, timeout=RECONNECT_SECONDS)
        finally:
            await end_tasks([stopping])


async def _work_until(stopping: asyncio.Task[Any], services: JobServices, redis: Redis) -> None:
    """Run arq's loop until the task ends. Raises what the loop raises when Redis goes away; closes `redis`."""
    worker = _worker(services, ArqRedis(redis.connection_pool, default_queue_name=redis_keys.QUEUE))
    working = asyncio.create_task(worker.async_run())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
    finally:
        # Jobs before the loop that runs them; `Worker.close` would stumble over cancelled ones.
        await end_tasks(worker.tasks.values())
        await end_tasks([working])
        worker.tasks.clear()
        with suppress(*REDIS_ERRORS):
            await worker.close()
        await redis.aclose()


async def run_until_signal(settings: Settings) -> None:
    """`run_worker` as a process: SIGTERM and SIGINT stop it; documents in hand go back to the queue."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run_worker(settings, stop)


def _worker(services: JobServices, redis: ArqRedis) -> Worker:
    async def on_startup(ctx: dict[str, Any]) -> None:
        ctx["services"] = services

    return Worker(
        # A job that is unfinished is a row in PostgreSQL: arq's own results and retries would be a second truth.
        functions=[func(ingest_document, timeout=JOB_SECONDS, keep_result=0, max_tries=1)],
        cron_jobs=[cron(sweep_documents, second=set(range(0, 60, 5)), run_at_startup=True)],
        queue_name=redis_keys.QUEUE,
        redis_pool=redis,
        on_startup=on_startup,
        max_jobs=MAX_JOBS,
        poll_delay=POLL_SECONDS,
        health_check_interval=HEALTH_SECONDS,
        keep_result=0,
        log_results=False,
        # arq's own handler cancels once, which can be lost: see `core.tasks`.
        handle_signals=False,
    )
