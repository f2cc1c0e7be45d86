"""Mail from the commit to the server by way of a running worker, whatever happens to the worker or to Redis."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiosmtpd.smtp import Envelope
from ingesting import log_lines, queued, worker, worker_process
from mailing import Post, message_ids, names, post_office, until_received, with_server
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app import worker as worker_module
from app.worker import run_worker
from core.settings import Settings
from datastores.redis_client import make_redis
from jobs.document_turns import PLACES
from mail_server import MailServer, mail_server, taken
from owner import until
from product import running_product
from wire import Until, gemini, relayed


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    """A mail server."""
    async with mail_server() as one:
        yield one


@pytest.fixture
async def mailing(settings: Settings, server: MailServer) -> Settings:
    """Settings of a product with that server, beside an empty Redis."""
    redis = make_redis(settings)
    await redis.flushdb()
    await redis.aclose()
    return with_server(settings, server)


@pytest.fixture
async def post(mailing: Settings) -> AsyncIterator[Post]:
    """Who writes mails, as an API process does."""
    async with post_office(mailing) as office:
        yield office


@pytest.fixture
def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that sweep when they start, and not again for as long as a test takes."""
    monkeypatch.setattr(worker_module, "SWEEP_SECONDS", {(datetime.now(UTC).second + 30) % 60})


class Stuck:
    """An answer of the server that never comes: for as many mails as are sent until `free` is set."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.now = self.most = 0

    async def __call__(self, envelope: Envelope) -> str:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.free.wait()
        finally:
            self.now -= 1
        return await taken(envelope)

    async def until(self, count: int) -> None:
        """Look until so many mails hang."""

        async def there() -> bool:
            return self.now == count

        await until(there)


@pytest.mark.usefixtures("no_sweep")
async def test_a_wake_up_after_the_commit_has_the_mail_sent(post: Post, server: MailServer, mailing: Settings) -> None:
    async with worker(mailing):
        await _until_swept_once(post)
        for name in ("patricia", "quinn"):
            await post.write(name)
            await post.services.queue.deliver_mail()
            await until_received(server, len(server.received) + 1)
        assert names(server) == ["patricia", "quinn"]


@pytest.mark.usefixtures("no_sweep")
async def test_a_mail_that_was_refused_for_now_goes_out_by_itself_a_second_later(
    post: Post, server: MailServer, mailing: Settings
) -> None:
    answers = iter(["451 4.7.1 greylisted"])
    server.on_recipient = lambda _: next(answers, None)
    async with worker(mailing):
        await _until_swept_once(post)
        await post.write("patricia")
        await post.services.queue.deliver_mail()
        await until_received(server, 1)
    assert server.connections == 2


async def test_a_mail_whose_wake_up_was_lost_is_found_by_the_sweep(
    post: Post, server: MailServer, mailing: Settings
) -> None:
    async with worker(mailing):
        await post.write("patricia")
        await until_received(server, 1)


async def test_mail_that_is_written_while_redis_is_away_goes_out_when_it_is_back(
    server: MailServer, mailing: Settings
) -> None:
    assert mailing.redis_url is not None
    async with relayed(mailing.redis_url) as (url, relay):
        cut_off = mailing.model_copy(update={"redis_url": url})
        async with post_office(cut_off) as post, worker(cut_off):
            await relay.close()
            await post.write("patricia")
            with capture_logs() as lines:
                await post.services.queue.deliver_mail()
            assert {"event": "job not enqueued", "job": "deliver_mail"}.items() <= lines[0].items()
            assert server.received == []
            await relay.listen_again()
            await until_received(server, 1)


async def test_mail_does_not_wait_for_documents(settings: Settings, server: MailServer, tmp_path: Path) -> None:
    forever = Until()
    async with gemini(settings, tmp_path, embedding_provider="gemini", chat_provider="local") as (vendor, both):
        vendor.embedding_script = [forever]
        changed = with_server(both, server)
        async with running_product(changed, worker=False) as product, worker(changed), post_office(changed) as post:
            # As many documents as a worker takes at once, and one that waits: none of them ends.
            documents = [await queued(product, f"Number {number}.\n".encode()) for number in range(PLACES + 1)]
            for document in documents[:PLACES]:
                await document.until("EMBEDDING")
            await post.write("patricia")
            await post.services.queue.deliver_mail()
            await until_received(server, 1)
            statuses = sorted([(await document.state()).status for document in documents])
            forever.event.set()
    assert statuses == ["EMBEDDING"] * PLACES + ["QUEUED"]


@pytest.mark.usefixtures("no_sweep")
async def test_no_more_connections_than_allowed_are_open_at_once(
    post: Post, server: MailServer, mailing: Settings
) -> None:
    stuck = Stuck()
    server.on_data = stuck
    async with worker(mailing):
        await _until_swept_once(post)
        await post.write(*(f"person{number}" for number in range(12)))
        for _ in range(12):
            await post.services.queue.deliver_mail()
        await stuck.until(worker_module.MAX_MAIL_JOBS)
        stuck.free.set()
        await until_received(server, 12)
    assert stuck.most == worker_module.MAX_MAIL_JOBS
    assert len(set(names(server))) == len(server.received) == 12


@pytest.mark.long
async def test_two_workers_send_each_mail_once(post: Post, server: MailServer, mailing: Settings) -> None:
    async with worker(mailing), worker(mailing):
        for number in range(20):
            await post.write(f"person{number}")
            await post.services.queue.deliver_mail()
        await until_received(server, 20)

        async def nothing_left() -> bool:
            return await post.rows() == []

        await until(nothing_left)
    assert len(set(names(server))) == len(server.received) == 20


@pytest.mark.long
async def test_a_worker_that_is_killed_in_a_mail_is_replaced_and_the_mail_sent(
    post: Post, server: MailServer, mailing: Settings
) -> None:
    stuck = Stuck()
    server.on_data = stuck
    (mail_id,) = await post.write("patricia")
    assert mailing.smtp_url is not None
    assert mailing.mail_from is not None
    variables = {"SMTP_URL": mailing.smtp_url.get_secret_value(), "MAIL_FROM": mailing.mail_from}
    async with worker_process(mailing, **variables) as process:
        await stuck.until(1)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    (row,) = await post.rows()
    assert row.attempts == 1
    server.on_data = taken
    await post.due_now()
    async with worker(mailing):
        await until_received(server, 1)
    assert message_ids(server) == [f"<{mail_id.hex}@example.test>"]


async def test_a_worker_that_is_stopped_in_a_mail_finishes_it_if_it_can(
    post: Post, server: MailServer, mailing: Settings
) -> None:
    stuck = Stuck()
    server.on_data = stuck
    await post.write("patricia")
    stop = asyncio.Event()
    working = asyncio.create_task(worker_module.run_worker(mailing, stop))
    await stuck.until(1)
    # The server takes its time, and the worker gives it some.
    asyncio.get_running_loop().call_later(0.3, stuck.free.set)
    stop.set()
    await working
    assert names(server) == ["patricia"]
    assert await post.rows() == []


@pytest.mark.long
async def test_a_worker_that_is_stopped_in_a_mail_gives_it_back(
    post: Post, server: MailServer, mailing: Settings
) -> None:
    stuck = Stuck()
    server.on_data = stuck
    await post.write("patricia")
    async with worker(mailing):
        await stuck.until(1)
    (row,) = await post.rows()
    assert row.attempts == 0
    assert row.due_in is not None
    assert row.due_in <= 0
    server.on_data = taken
    async with worker(mailing):
        await until_received(server, 1)
    assert names(server) == ["patricia"]


@pytest.mark.parametrize(("environment", "warnings"), [("production", 1), ("development", 0)])
async def test_a_worker_in_production_warns_that_nobody_gets_the_mail(
    settings: Settings, environment: str, warnings: int
) -> None:
    with capture_logs() as lines, log_lines("asyncio") as complaints:
        async with worker(settings.model_copy(update={"environment": environment})):
            pass
        gc.collect()
    assert [line.getMessage() for line in complaints if "never retrieved" in line.getMessage()] == []
    assert len([line for line in lines if line["event"].startswith("SMTP_URL is not set")]) == warnings


async def _until_swept_once(post: Post) -> None:
    """Look until the worker's first sweep is over: it would send what is written now without a wake-up."""

    async def over() -> bool:
        redis = post.services.redis
        return bool(await redis.exists("colloquy:mail-queue:health-check")) and not await redis.zcard(
            "colloquy:mail-queue"
        )

    await until(over)


async def test_a_worker_that_is_cancelled_again_and_again_leaves_no_connection(settings: Settings) -> None:
    redis = make_redis(settings)
    await redis.flushdb()
    number = str(redis.connection_pool.connection_kwargs.get("db", 0))
    before = sum(client["db"] == number for client in await redis.client_list())
    working = asyncio.create_task(run_worker(settings))
    await until(lambda: queue_is_watched(redis))
    for _ in range(6):
        working.cancel()
        await asyncio.sleep(0.01)  # the case itself: a cancellation in the middle of the end
    with suppress(asyncio.CancelledError):
        await working
    assert sum(client["db"] == number for client in await redis.client_list()) <= before
    await redis.aclose()


async def queue_is_watched(redis: Redis) -> bool:
    """Whether a worker has said that it lives."""
    return bool(await redis.keys("*health-check*"))
