"""The mail job: what is committed is sent, by one at a time, again when it failed, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiosmtpd.smtp import Envelope
from mailing import LINK, Post, mail_to, message_ids, names, post_office, with_server
from structlog.testing import capture_logs

from core.settings import Settings
from datastores import outbox
from datastores.outbox import LEASE
from datastores.postgres import Purpose
from datastores.redis_client import make_redis
from jobs.deliver_mail import BATCH, delay_after
from mail_server import MailServer, mail_server, taken
from owner import as_owner, until
from providers.mail.smtp import MAIL_SECONDS, STEP_SECONDS


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    """A mail server."""
    async with mail_server() as one:
        yield one


@pytest.fixture
async def post(settings: Settings, server: MailServer) -> AsyncIterator[Post]:
    """A worker by hand, beside an empty Redis."""
    redis = make_redis(settings)
    await redis.flushdb()
    await redis.aclose()
    async with post_office(with_server(settings, server)) as office:
        yield office


async def wake_ups(post: Post) -> list[float]:
    """In how many seconds each job that waits in the queue begins."""
    scores = await post.services.redis.zrange("colloquy:mail-queue", 0, -1, withscores=True)
    seconds, microseconds = await post.services.redis.time()
    return [score / 1000 - seconds - microseconds / 1e6 for _, score in scores]


async def test_a_mail_that_was_sent_is_gone_from_the_database(post: Post, server: MailServer) -> None:
    (mail_id,) = await post.write("patricia")
    assert await post.deliver() == 1
    (received,) = server.received
    assert received.message["Message-ID"] == f"<{mail_id.hex}@example.test>"
    assert LINK in received.message.get_content()
    assert await post.rows() == []


async def test_a_mail_whose_transaction_was_rolled_back_is_not_sent(post: Post, server: MailServer) -> None:
    async def sign_up_that_fails() -> None:
        async with post.services.postgres.write(post.tenant) as tx:
            await outbox.add_mail(tx, post.tenant, mail_to("patricia"))
            raise RuntimeError("afterthought")

    with pytest.raises(RuntimeError, match="afterthought"):
        await sign_up_that_fails()
    assert await post.deliver() == 0
    assert server.connections == 0


async def test_mails_go_in_the_order_they_were_written_over_one_connection(post: Post, server: MailServer) -> None:
    written = [f"person{number}" for number in range(5)]
    for name in written:
        await post.write(name)
    assert await post.deliver() == 5
    assert (names(server), server.connections) == (written, 1)


async def test_with_nothing_to_send_nobody_is_connected_to(post: Post, server: MailServer) -> None:
    await post.write("else", topic="search")
    assert await post.deliver() == 0
    assert server.connections == 0
    assert await as_owner(post.settings, "SELECT attempts FROM outbox") == [(0,)]


async def test_more_than_a_batch_is_left_to_a_further_job(post: Post, server: MailServer) -> None:
    await post.write(*(f"person{number}" for number in range(BATCH + 1)))
    assert await post.deliver() == BATCH
    assert len(await wake_ups(post)) == 1
    assert await post.deliver() == 1
    assert server.connections == 2


async def test_two_workers_at_once_send_each_mail_once(post: Post, server: MailServer) -> None:
    await post.write(*(f"person{number}" for number in range(12)))
    meeting = asyncio.Barrier(2)

    async def meet(envelope: Envelope) -> str:
        # Both are in the middle of a mail at the same time.
        await meeting.wait()
        return await taken(envelope)

    server.on_data = meet
    assert sum(await asyncio.gather(post.deliver(), post.deliver())) == 12
    assert server.connections == 2
    assert len(set(names(server))) == len(server.received) == 12
    assert await post.rows() == []


async def test_a_mail_that_is_being_sent_is_nobody_else_s(post: Post, server: MailServer) -> None:
    await post.write("patricia")
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def wait(envelope: Envelope) -> str:
        reached.set()
        await go_on.wait()
        return await taken(envelope)

    server.on_data = wait
    sending = asyncio.create_task(post.deliver())
    await reached.wait()
    assert await post.deliver() == 0
    go_on.set()
    assert await sending == 1
    assert len(server.received) == 1


def test_a_claim_outlasts_the_sending() -> None:
    assert LEASE.total_seconds() >= MAIL_SECONDS + STEP_SECONDS


async def test_a_mail_of_a_worker_that_died_is_sent_when_its_claim_has_run_out(post: Post, server: MailServer) -> None:
    (mail_id,) = await post.write("patricia")
    assert await post.claim() is not None
    assert await post.deliver() == 0
    (row,) = await post.rows()
    assert row.due_in is not None
    assert LEASE.total_seconds() - 10 < row.due_in <= LEASE.total_seconds()
    await post.due_now()
    assert await post.deliver() == 1
    assert message_ids(server) == [f"<{mail_id.hex}@example.test>"]


async def test_a_mail_that_is_sent_twice_is_the_same_message(post: Post, server: MailServer) -> None:
    await post.write("patricia")
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(envelope: Envelope) -> str:
        reached.set()
        await go_on.wait()
        return await taken(envelope)

    server.on_data = slow
    first = asyncio.create_task(post.deliver())
    await reached.wait()
    # As if the first worker had been asleep for longer than its claim.
    await post.due_now()
    second = asyncio.create_task(post.deliver())

    async def both() -> bool:
        return server.connections == 2

    await until(both)
    go_on.set()
    assert await asyncio.gather(first, second) == [1, 1]
    one, other = server.received
    assert one.raw == other.raw
    assert await post.rows() == []


async def test_a_late_failure_does_not_touch_the_claim_of_another(post: Post, server: MailServer) -> None:
    await post.write("patricia")
    late = await post.claim()
    assert late is not None
    await post.due_now()
    assert await post.claim() is not None
    before = await post.rows()
    async with post.services.postgres.platform(Purpose.RELAY) as tx:
        await outbox.postpone(tx, late, timedelta(hours=1), "late")
        await outbox.give_up(tx, late, "late")
        await outbox.release(tx, late)
    (after,) = await post.rows()
    assert (after.attempts, after.error, after.payload) == (2, None, before[0].payload)
    assert after.due_in is not None
    assert 0 < after.due_in <= LEASE.total_seconds()


async def test_a_cancelled_job_gives_its_mail_back_at_once(post: Post, server: MailServer) -> None:
    await post.write("patricia")
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang(envelope: Envelope) -> str:
        reached.set()
        await never.wait()
        return await taken(envelope)

    server.on_data = hang
    sending = asyncio.create_task(post.deliver())
    await reached.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    server.on_data = taken
    assert await post.deliver() == 1
    assert names(server) == ["patricia"]


async def test_a_mail_that_is_refused_for_now_is_tried_again_later(post: Post, server: MailServer) -> None:
    await post.write("patricia", "quinn")
    server.on_recipient = lambda address: "451 4.7.1 greylisted" if address.startswith("patricia") else None
    with capture_logs() as lines:
        assert await post.deliver() == 1
    assert names(server) == ["quinn"]
    (row,) = await post.rows()
    assert (row.attempts, row.error) == (1, "451 4.7.1 greylisted")
    assert row.due_in is not None
    assert 0 < row.due_in <= 1
    (wake_up,) = await wake_ups(post)
    assert 0 < wake_up <= 1
    assert [(line["event"], line["next_try_seconds"]) for line in lines if line["log_level"] == "warning"] == [
        ("mail not sent yet", 1.0)
    ]
    server.on_recipient = lambda _: None
    await post.due_now()
    assert await post.deliver() == 1
    assert names(server) == ["quinn", "patricia"]
    assert await post.rows() == []


def test_the_pauses_grow_fourfold_up_to_an_hour() -> None:
    pauses = [delay_after(attempts).total_seconds() for attempts in (1, 2, 3, 4, 5, 6, 7, 8, 1_000_000)]
    assert pauses == [1, 4, 16, 64, 256, 1024, 3600, 3600, 3600]


@pytest.mark.parametrize("step", ["recipient", "data"])
async def test_a_mail_that_is_refused_for_good_is_given_up_at_once_and_loses_its_text(
    post: Post, server: MailServer, step: str
) -> None:
    answer = f"550 5.1.1 patricia@example.test unknown, see {LINK}"

    async def refuse(_envelope: Envelope) -> str:
        return answer

    if step == "recipient":
        server.on_recipient = lambda _: answer
    else:
        server.on_data = refuse
    await post.write("patricia")
    with capture_logs() as lines:
        assert await post.deliver() == 0
    (row,) = await post.rows()
    assert (row.attempts, row.due_in) == (1, None)
    assert row.error == "550 5.1.1 p…@example.test unknown, see […]"
    assert row.payload == '{"to": "patricia@example.test", "subject": "For patricia"}'
    (line,) = lines
    assert (line["event"], line["to"], line["reason"]) == ("mail given up", "p…@example.test", row.error)
    assert "atricia" not in str(line)
    assert await post.deliver() == 0
    assert await wake_ups(post) == []


async def test_a_server_that_is_away_is_asked_once_and_no_mail_is_lost(post: Post, server: MailServer) -> None:
    await post.write(*(f"person{number}" for number in range(5)))
    server.dies_in_data = 1
    assert await post.deliver() == 0
    assert server.connections == 1
    assert [row.attempts for row in await post.rows()] == [1, 0, 0, 0, 0]
    await post.due_now()
    assert await post.deliver() == 5
    assert len(set(names(server))) == 5


async def test_after_a_day_in_vain_a_mail_is_given_up_and_loses_its_text(post: Post, server: MailServer) -> None:
    server.on_recipient = lambda _: "451 4.7.1 greylisted"
    await post.write("patricia")
    await post.deliver()
    await post.change("created_at = now() - interval '23 hours 59 minutes'")
    assert await post.sweep() == 0
    await post.change("created_at = now() - interval '24 hours 1 second'")
    with capture_logs() as lines:
        assert await post.sweep() == 1
    (row,) = await post.rows()
    assert (row.due_in, row.error) == (None, "451 4.7.1 greylisted")
    assert LINK not in row.payload
    assert [(line["event"], line["to"], line["reason"]) for line in lines] == [
        ("mail given up", "p…@example.test", "451 4.7.1 greylisted")
    ]
    assert await post.sweep() == 0
    assert await post.deliver() == 0


async def test_a_mail_that_no_worker_was_there_for_is_sent_however_old(post: Post, server: MailServer) -> None:
    await post.write("patricia")
    await post.change("created_at = now() - interval '3 days'")
    assert await post.sweep() == 0
    assert await post.deliver() == 1


async def test_what_was_given_up_is_forgotten_after_a_month(post: Post, server: MailServer) -> None:
    server.on_recipient = lambda _: "550 5.1.1 no such user"
    await post.write("patricia")
    await post.deliver()
    await post.change("created_at = now() - interval '29 days'")
    await post.sweep()
    assert len(await post.rows()) == 1
    await post.change("created_at = now() - interval '31 days'")
    await post.sweep()
    assert await post.rows() == []


async def test_the_sweep_wakes_a_worker_for_what_is_due_alone(post: Post, server: MailServer) -> None:
    await post.sweep()
    assert await wake_ups(post) == []
    await post.write("patricia")
    await post.sweep()
    assert len(await wake_ups(post)) == 1
    await post.claim()
    await post.sweep()
    assert len(await wake_ups(post)) == 1


async def test_an_entry_that_is_no_mail_is_given_up_and_holds_up_nothing(post: Post, server: MailServer) -> None:
    await post.write("patricia", "quinn")
    await as_owner(
        post.settings,
        """UPDATE outbox SET payload = '{"to": "a@example.test\\nBcc: eve", "subject": "s", "text": "t"}'
           WHERE payload->>'to' = 'patricia@example.test'""",
    )
    assert await post.deliver() == 1
    assert names(server) == ["quinn"]
    (row,) = await post.rows()
    assert (row.due_in, row.error) == (None, "The entry is not a mail that can be sent.")


async def test_without_a_server_mail_is_files_and_the_outbox_is_as_empty(settings: Settings) -> None:
    async with post_office(settings) as office:
        (mail_id,) = await office.write("patricia")
        assert await office.deliver() == 1
        assert await office.rows() == []
    (file,) = (settings.data_dir / "mail").iterdir()
    assert file.name == f"{mail_id.hex}.eml"
