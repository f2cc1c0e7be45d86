"""The worker process: arq's loops around our jobs, one for documents, one for mail, one for re-embedding.

Queues of their own, because a document may take hours and as many of them as are read at once would hold up every mail,
and an organisation on its way into another vector space every document.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from types import FrameType
from typing import Any

import structlog
from arq import cron, func
from arq.connections import ArqRedis
from arq.worker import Worker
from redis.asyncio import Redis

from app.ending import told_at_signals
from app.services import answer_supervisor, evictable, job_services, producer_services
from core.settings import Settings
from core.tasks import end_tasks, see_through
from datastores import redis_keys
from datastores.live import LiveChannels
from datastores.redis_circuit import RedisCircuit
from datastores.redis_client import REDIS_ERRORS, make_redis
from jobs.audit_partitions import make_audit_partitions
from jobs.deliver_mail import deliver_mail, sweep_mail
from jobs.document_turns import PLACES, Places, ingest_in_turn
from jobs.queue import INGEST_DOCUMENT
from jobs.reembed import SLICE_SECONDS, reembed, sweep_reembeddings
from jobs.services import JobServices
from jobs.sweep_accounts import sweep_accounts
from jobs.sweep_documents import sweep_documents
from jobs.sweep_files import sweep_files
from jobs.sweeping import skipped_in_outages

MAX_JOBS = PLACES + 4
"""Of the documents' queue: sweeps, and wake-ups that find no place, have room beside the documents."""
JOB_SECONDS = 6 * 3600
MAX_MAIL_JOBS = 4
"""Connections to the mail server at once."""
MAIL_JOB_SECONDS = 15 * 60
"""A batch of mails is bounded at 20 x 30 s."""
REEMBEDDING_JOB_SECONDS = 10 * SLICE_SECONDS
"""A slice, and the last batch of a slow model in three tries."""
POLL_SECONDS = 0.1
DOCUMENTS_POLL_SECONDS = 0.05
"""How often a worker asks for documents; half of it is how long an upload waits for that."""
HEALTH_SECONDS = 2
RECONNECT_SECONDS = 1.0
DRAIN_SECONDS = 2.0
"""What the mails in hand get at the end, and then arq for its bookkeeping."""
END_SECONDS = 10.0
"""For the whole end, however often it is cancelled: two drains, and time for the jobs to give back what they hold."""
SWEEP_SECONDS = set(range(0, 60, 5))
"""In each minute."""
ACCOUNTS_SECOND = 32
"""The same, of what needs no haste."""
AUDIT_HOUR = 3
"""Of each day, when the audit log's next months are made; a worker that starts makes them, too."""
log = structlog.get_logger(__name__)


async def run_worker(
    settings: Settings, stop: asyncio.Event | None = None, *, begun: Callable[[], None] | None = None
) -> None:
    """Work until `stop` is set or this task is cancelled. Raises `ConfigurationError` when it is not set up safely.

    Answers, mails and documents in hand end side by side. `begun` is called when there may be any.
    """
    stop = stop or asyncio.Event()
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(job_services(settings))
        # Nobody waits for a worker who could be told to come again.
        services = replace(services, postgres=services.postgres.patient())
        # The worker writes answers that API processes have left: one of its kind is enough for none to be forgotten.
        live = LiveChannels(services.redis)
        await live.start()
        stack.push_async_callback(live.aclose)
        cache = await stack.enter_async_context(evictable(settings, services.redis))
        producing = producer_services(settings, services, cache, RedisCircuit(), live)
        if begun is not None:
            begun()
        supervisor = await stack.enter_async_context(answer_supervisor(producing))
        if settings.smtp_url is None and settings.environment == "production":
            log.warning("SMTP_URL is not set: mail is written to files in DATA_DIR/mail, and nobody gets it")
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: supervisor.drain())
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
    """Run arq's loops until the task ends. Raises what a loop raises when Redis goes away; closes `redis`."""
    connection = ArqRedis(redis.connection_pool, default_queue_name=redis_keys.QUEUE)
    mail = _mail_worker(services, connection)
    workers = (mail, _document_worker(services, connection), _reembedding_worker(services, connection))
    loops = [asyncio.create_task(worker.async_run()) for worker in workers]
    try:
        await asyncio.wait({*loops, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for loop in loops:
            if loop.done():
                await loop
        # A mail that is cut off may have arrived, and would be sent again.
        mail.allow_pick_jobs = False
        await _ended_within(DRAIN_SECONDS, mail.tasks.values())
    finally:
        # Whoever ends us cancels again and again: half an end would leave loops running and connections open.
        await see_through(_end_and_close(redis, loops, *workers), END_SECONDS)


async def _end_and_close(redis: Redis, loops: Sequence[asyncio.Task[Any]], *workers: _Worker) -> None:
    try:
        await _end(loops, *workers)
    finally:
        await redis.aclose()


async def _end(loops: Sequence[asyncio.Task[Any]], *workers: _Worker) -> None:
    """End jobs and loops, letting arq finish what it does with Redis.

    A cancellation would leave its pipelines open, or go no further than its shield around a job's bookkeeping.
    """
    for worker in workers:
        worker.allow_pick_jobs = False
    await end_tasks(task for worker in workers for task in worker.job_tasks.values())
    await _ended_within(DRAIN_SECONDS, loops)
    # What a loop had picked already has begun when those made room.
    await end_tasks(task for worker in workers for task in worker.job_tasks.values())
    around = [task for worker in workers for task in worker.tasks.values()]
    await _ended_within(DRAIN_SECONDS, around)
    await end_tasks([*around, *loops])
    for task in (*around, *loops):
        if not task.cancelled():
            task.exception()  # asked for, or asyncio would log it
    # At once: each waits for Redis, which may not answer.
    await asyncio.gather(*map(_close, workers))


async def _close(worker: _Worker) -> None:
    # `Worker.close` would stumble over jobs that were cancelled.
    worker.tasks.clear()
    with suppress(*REDIS_ERRORS):
        await worker.close()


async def _ended_within(seconds: float, tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Wait for the tasks' end, but no longer than that; what they raise is theirs."""
    if pending := [task for task in tasks if not task.done()]:
        await asyncio.wait(pending, timeout=seconds)


class _Ended(Exception):
    """arq's loop has come to the end of a round, and may not begin jobs any more."""


class _Worker(Worker):
    """arq's worker, whose loop ends by itself once `allow_pick_jobs` is off."""

    async def heart_beat(self) -> None:
        """The last act of each round."""
        await super().heart_beat()
        if not self.allow_pick_jobs:
            raise _Ended


async def run_until_signal(settings: Settings) -> None:
    """`run_worker` as a process: SIGTERM and SIGINT stop it; documents in hand go back to the queue."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave_to_the_loop)
    with told_at_signals() as signals:
        await run_worker(settings, stop, begun=lambda: signals.begin_end_by(stop.set))


def _leave_to_the_loop(number: int, frame: FrameType | None) -> None:
    return


def _document_worker(services: JobServices, redis: ArqRedis) -> _Worker:
    return _worker(
        services,
        redis,
        redis_keys.QUEUE,
        functions=[func(ingest_in_turn, name=INGEST_DOCUMENT, timeout=JOB_SECONDS, keep_result=0, max_tries=1)],
        cron_jobs=[
            cron(skipped_in_outages(sweep_documents), second=SWEEP_SECONDS, run_at_startup=True),
            cron(skipped_in_outages(sweep_files), second=SWEEP_SECONDS, run_at_startup=True),
            cron(make_audit_partitions, hour=AUDIT_HOUR, minute=0, run_at_startup=True),
        ],
        max_jobs=MAX_JOBS,
        poll_delay=DOCUMENTS_POLL_SECONDS,
    )


def _mail_worker(services: JobServices, redis: ArqRedis) -> _Worker:
    return _worker(
        services,
        redis,
        redis_keys.MAIL_QUEUE,
        functions=[func(deliver_mail, timeout=MAIL_JOB_SECONDS, keep_result=0, max_tries=1)],
        cron_jobs=[
            cron(skipped_in_outages(sweep_mail), second=SWEEP_SECONDS, run_at_startup=True),
            cron(skipped_in_outages(sweep_accounts), second=ACCOUNTS_SECOND, run_at_startup=True),
        ],
        max_jobs=MAX_MAIL_JOBS,
    )


def _reembedding_worker(services: JobServices, redis: ArqRedis) -> _Worker:
    return _worker(
        services,
        redis,
        redis_keys.REEMBEDDING_QUEUE,
        functions=[func(reembed, timeout=REEMBEDDING_JOB_SECONDS, keep_result=0, max_tries=1)],
        cron_jobs=[cron(skipped_in_outages(sweep_reembeddings), second=SWEEP_SECONDS, run_at_startup=True)],
        # One at a time, so that uploads have the rest of the cores, and of the model's rate.
        max_jobs=1,
    )


def _worker(services: JobServices, redis: ArqRedis, queue: str, **jobs: Any) -> _Worker:
    async def on_startup(ctx: dict[str, Any]) -> None:
        ctx["services"] = services
        ctx["places"] = Places()

    return _Worker(
        **{"poll_delay": POLL_SECONDS} | jobs,
        queue_name=queue,
        redis_pool=redis,
        on_startup=on_startup,
        health_check_interval=HEALTH_SECONDS,
        # What is unfinished is a row in PostgreSQL: arq's own results and retries would be a second truth.
        keep_result=0,
        log_results=False,
        # arq's own handler cancels once, which can be lost: see `core.tasks`.
        handle_signals=False,
    )
