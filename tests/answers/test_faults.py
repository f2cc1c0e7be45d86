"""The answer stream when something under it breaks: the answer is finished, followers are whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from answers.vanished import MAX_ATTEMPTS
from app.embedded.redis import EmbeddedRedis
from core.settings import Settings
from core.tasks import end_tasks
from datastores.answer_attempts import HANDED_OVER
from owner import as_owner, until, uuid_of
from product import Person, Product, running_product
from redis_faults import cut_live_channels
from wire import relayed

pytestmark = [pytest.mark.long, pytest.mark.timeout(60)]
TEXT = (
    b"The cable car of Mount Ilse was opened in 1936 and renewed in 2011. "
    b"It carries sixty people in each cabin and takes eight minutes to the top.\n"
)
QUESTION = "When was the cable car of Mount Ilse opened?"


@pytest.fixture
def slow(settings: Settings) -> Settings:
    """An answerer slow enough to be interrupted."""
    return settings.model_copy(update={"local_token_interval_ms": 60})


@contextmanager
def said_by(name: str) -> Iterator[list[logging.LogRecord]]:
    """What a logger says inside the block."""
    lines: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = lines.append  # type: ignore[method-assign]
    logging.getLogger(name).addHandler(handler)
    try:
        yield lines
    finally:
        logging.getLogger(name).removeHandler(handler)


def told(events: list[dict[str, Any]]) -> str:
    """What a client shows at the end."""
    text = ""
    for event in events:
        text = "" if event["__typename"] == "AnswerRestarted" else text + event.get("text", "")
    return text


async def _asked(person: Person) -> str:
    sent = await person.send(await person.conversation(), QUESTION)
    return sent["answer"]["id"]  # type: ignore[no-any-return]


async def _check(person: Person, answer_id: str, events: list[dict[str, Any]]) -> None:
    assert events[-1]["__typename"] == "AnswerCompleted", events[-1]
    stored = events[-1]["answer"]["message"]["text"]
    assert "1936" in stored
    assert told(events) == stored
    again = [event async for event in person.follow(answer_id)]
    assert told(again) == stored


async def test_redis_flushed_in_mid_answer_gives_a_restart_and_then_the_whole_answer(slow: Settings) -> None:
    async with running_product(slow) as product:
        person = await product.sign_up()
        await person.ready_document(TEXT)
        answer_id = await _asked(person)
        events: list[dict[str, Any]] = []
        async for event in person.follow(answer_id):
            events.append(event)
            if len(events) == 8:
                await product.services.redis.flushdb()
        await _check(person, answer_id, events)
        assert "AnswerRestarted" in [event["__typename"] for event in events]


async def test_the_listening_connection_cut_in_mid_answer_loses_nothing(slow: Settings) -> None:
    async with running_product(slow) as product:
        person = await product.sign_up()
        await person.ready_document(TEXT)
        answer_id = await _asked(person)
        events: list[dict[str, Any]] = []
        async for event in person.follow(answer_id):
            events.append(event)
            if len(events) == 6:
                await cut_live_channels(product.services.redis)
        await _check(person, answer_id, events)
        assert [e.get("firstSequence", e["sequence"]) for e in events] == list(range(1, len(events) + 1))


async def test_a_viewer_that_goes_away_does_not_end_the_answer(slow: Settings) -> None:
    async with running_product(slow) as product:
        person = await product.sign_up()
        await person.ready_document(TEXT)
        answer_id = await _asked(person)
        async for event in person.follow(answer_id):
            if event["__typename"] == "AnswerDelta":
                cursor = event["cursor"]
                break
        rest = [event async for event in person.follow(answer_id, after=cursor)]
        assert rest[-1]["__typename"] == "AnswerCompleted"
        assert rest[0].get("firstSequence", rest[0]["sequence"]) == int(cursor.rsplit(".", 1)[1]) + 1


async def test_an_answer_whose_process_went_away_is_written_again_by_the_next(slow: Settings) -> None:
    async with running_product(slow) as first:
        person = await first.sign_up()
        await person.ready_document(TEXT)
        token = person.token
        answer_id = await _asked(person)
        async for event in person.follow(answer_id):
            if event["__typename"] == "AnswerDelta":
                cursor = event["cursor"]
                break
        # Given up, not finished: as when the process is asked to end.
        await end_tasks(first.services.supervisor._tasks.copy().values())
    async with asyncio.timeout(40), running_product(slow, flush=False) as second:
        person = Person(second, token, "", "")
        events = [event async for event in person.follow(answer_id, after=cursor)]
        await _check(person, answer_id, events)
        assert events[0]["__typename"] == "AnswerRestarted"
        # The first product may have begun again before it ended.
        assert events[0]["attempt"] in (2, 3)


async def test_an_answer_that_is_interrupted_too_often_fails_retryably(own_product: Product) -> None:
    person = await own_product.sign_up()
    await person.ready_document(TEXT)
    answer_id = await _asked(person)
    async for _ in person.follow(answer_id):
        pass
    await _as_owner(own_product, "UPDATE answers SET status = 'STREAMING', epoch = 3, finished_at = NULL")
    await _as_owner(own_product, "DELETE FROM citations")
    await _as_owner(own_product, "DELETE FROM messages WHERE role = 'ASSISTANT'")
    await own_product.services.redis.flushdb()
    events = [event async for event in person.follow(answer_id)]
    assert events[-1]["__typename"] == "AnswerFailed"
    assert events[-1]["failure"]["code"] == "INTERRUPTED"
    assert events[-1]["failure"]["retryable"]


async def test_an_answer_outlives_any_number_of_orderly_restarts(slow: Settings) -> None:
    async with running_product(slow) as product:
        person = await product.sign_up()
        await person.ready_document(TEXT)
        answer_id = await _asked(person)
        supervisor = product.services.supervisor
        for epoch in range(1, MAX_ATTEMPTS + 2):
            async for event in person.follow(answer_id):
                if event["__typename"] == "AnswerDelta":
                    break
            (state,) = await as_owner(slow, "SELECT epoch, status FROM answers")
            assert state == (epoch, "STREAMING")
            # What closing the process does to what has not finished in time.
            await end_tasks(list(supervisor._tasks.values()))
            supervisor.produce(person.tenant_id, uuid_of(answer_id), epoch)
            await until(partial(_begun, slow, epoch + 1))
        events = [event async for event in person.follow(answer_id)]
        await _check(person, answer_id, events)
        assert events[-1]["answer"]["attempt"] == MAX_ATTEMPTS + 2
        rows = await as_owner(slow, "SELECT epoch, finish_reason FROM answer_attempts ORDER BY epoch")
        assert [row for row in rows if row[1] == HANDED_OVER] == [
            (epoch, HANDED_OVER) for epoch in range(1, MAX_ATTEMPTS + 2)
        ]
        assert len(rows) == MAX_ATTEMPTS + 2


async def _begun(settings: Settings, epoch: int) -> bool:
    return await as_owner(settings, "SELECT epoch FROM answers") == [(epoch,)]


async def test_an_answer_whose_database_goes_away_is_written_again_and_not_counted(slow: Settings) -> None:
    assert slow.database_url is not None
    async with (
        relayed(slow.database_url) as (url, relay),
        running_product(slow.model_copy(update={"database_url": url})) as product,
    ):
        person = await product.sign_up()
        await person.ready_document(TEXT)
        answer_id = await _asked(person)
        with said_by("datastores.outages") as lines:
            async for event in person.follow(answer_id):
                if event["__typename"] == "AnswerDelta":
                    break
            await relay.close()

            async def noticed() -> bool:
                return bool(lines)

            await until(noticed)
        await relay.listen_again()
        events = [event async for event in person.follow(answer_id)]
        await _check(person, answer_id, events)
        assert events[-1]["answer"]["attempt"] == 2
        rows = await as_owner(slow, "SELECT epoch, finish_reason FROM answer_attempts ORDER BY epoch")
        assert rows[0] == (1, HANDED_OVER)


async def _as_owner(product: Product, statement: str) -> None:
    connection = await asyncpg.connect(product.settings.database_owner_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_resend_to_another_process_leaves_a_running_answer_alone(slow: Settings) -> None:
    async with running_product(slow) as one, running_product(slow, worker=False, flush=False) as two:
        person = await one.sign_up()
        await person.ready_document(TEXT)
        conversation = await person.conversation()
        sent = await person.send(conversation, QUESTION, idempotencyKey="k")
        elsewhere = Person(two, person.token, person.email, person.user_id)
        events: list[dict[str, Any]] = []
        async for event in elsewhere.follow(sent["answer"]["id"]):
            events.append(event)
            if len(events) in (5, 7):
                again = await elsewhere.send(conversation, QUESTION, idempotencyKey="k")
                assert again["answer"]["id"] == sent["answer"]["id"]
        await _check(person, sent["answer"]["id"], events)
        assert events[-1]["answer"]["attempt"] == 1


async def test_leases_lost_with_redis_are_renewed_before_another_process_takes_over(slow: Settings) -> None:
    slower = slow.model_copy(update={"local_token_interval_ms": 300})
    async with running_product(slower) as one, running_product(slower, worker=False, flush=False):
        person = await one.sign_up()
        await person.ready_document(TEXT)
        answer_id = await _asked(person)
        events: list[dict[str, Any]] = []
        async for event in person.follow(answer_id):
            events.append(event)
            if len(events) == 8:
                await one.services.redis.flushdb()
        await _check(person, answer_id, events)
        assert events[-1]["answer"]["attempt"] == 1


async def test_a_cursor_beyond_the_log_is_a_restart(slow: Settings) -> None:
    async with running_product(slow) as product:
        person = await product.sign_up()
        await person.ready_document(TEXT)
        answer_id = await _asked(person)
        async for event in person.follow(answer_id):
            if event["__typename"] == "AnswerDelta":
                place, _ = event["cursor"].rsplit(".", 1)
                break
        events = [event async for event in person.follow(answer_id, after=f"{place}.9999")]
        assert (events[0]["__typename"], events[0]["sequence"]) == ("AnswerRestarted", 1)
        await _check(person, answer_id, events)


async def test_with_redis_full_the_answer_is_stored_and_followed_all_the_same(
    settings: Settings, tmp_path: Path
) -> None:
    # A Redis of its own: the limit is the whole server's.
    server = EmbeddedRedis(tmp_path / "redis", scratch=True)
    await asyncio.to_thread(server.start)
    try:
        async with running_product(settings.model_copy(update={"redis_url": server.url})) as product:
            person = await product.sign_up()
            await person.ready_document(TEXT)
            conversation = await person.conversation()
            await product.services.redis.config_set("maxmemory", 1)
            sent = await person.send(conversation, QUESTION)
            events = [event async for event in person.follow(sent["answer"]["id"])]
            uploaded = await person.upload(b"Another document with another text.", "other.txt")
            await product.services.redis.config_set("maxmemory", 0)
            await _check(person, sent["answer"]["id"], events)
            assert uploaded["__typename"] == "UploadDocumentPayload"
    finally:
        await asyncio.to_thread(server.stop)
