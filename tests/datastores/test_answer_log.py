"""The answer log on a real Redis: fenced appends, generations, merging."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from core.errors import ErrorCode
from core.ids import InvalidIdError, TenantId
from core.settings import Settings
from datastores import answer_events as log_events
from datastores.answer_events import Cited, Completed, Cursor, Delta, Failed, LogEvent, Started, Step
from datastores.answer_log import AnswerLog, LogLostError, SupersededError
from datastores.redis_client import make_redis

TENANT = TenantId(uuid4())


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    client = make_redis(settings)
    await client.flushdb()
    yield client
    await client.aclose()


async def test_events_come_back_in_order_and_after_any_place(redis: Redis) -> None:
    log, answer = AnswerLog(redis, finished_ttl=60), uuid4()
    generation = await log.begin(TENANT, answer, 1, [Started(answer, 1)])
    await log.append(TENANT, answer, 1, generation, 2, [Delta("a"), Delta("b")])
    await log.append(TENANT, answer, 1, generation, 4, [Completed(answer)])
    found = await log.read(TENANT, answer, generation, 1)
    assert found is not None
    assert [(e.sequence, e.body) for e in found.events] == [(2, Delta("a")), (3, Delta("b")), (4, Completed(answer))]
    assert 0 < await redis.ttl(f"colloquy:{TENANT.hex}:answer:{answer.hex}:log") <= 60


async def test_an_old_epoch_may_not_append(redis: Redis) -> None:
    log, answer = AnswerLog(redis, finished_ttl=60), uuid4()
    old = await log.begin(TENANT, answer, 1, [Started(answer, 1)])
    new = await log.begin(TENANT, answer, 2, [Started(answer, 2)])
    with pytest.raises(SupersededError):
        await log.append(TENANT, answer, 1, old, 2, [Delta("late")])
    with pytest.raises(SupersededError):
        await log.begin(TENANT, answer, 1, [Started(answer, 1)])
    found = await log.read(TENANT, answer, new, 0)
    assert found is not None
    assert len(found.events) == 1


@pytest.mark.parametrize("sequence", [1, 3, 9])
async def test_an_append_that_does_not_follow_the_tail_is_refused(redis: Redis, sequence: int) -> None:
    log, answer = AnswerLog(redis, finished_ttl=60), uuid4()
    generation = await log.begin(TENANT, answer, 1, [Started(answer, 1)])
    with pytest.raises(LogLostError):
        await log.append(TENANT, answer, 1, generation, sequence, [Delta("x")])


async def test_after_a_flush_nothing_can_be_appended_to_the_lost_log(redis: Redis) -> None:
    log, answer = AnswerLog(redis, finished_ttl=60), uuid4()
    generation = await log.begin(TENANT, answer, 1, [Started(answer, 1)])
    await redis.flushdb()
    with pytest.raises(LogLostError):
        await log.append(TENANT, answer, 1, generation, 2, [Delta("x")])
    assert await log.read(TENANT, answer, generation, 0) is None


async def test_reading_with_another_generation_gives_the_whole_log(redis: Redis) -> None:
    log, answer = AnswerLog(redis, finished_ttl=60), uuid4()
    await log.begin(TENANT, answer, 1, [Started(answer, 1), Delta("a")])
    found = await log.read(TENANT, answer, "another", 7)
    assert found is not None
    assert [e.sequence for e in found.events] == [1, 2]


BODIES = st.one_of(
    st.builds(Delta, st.text(min_size=1, max_size=5).filter(lambda t: t.isprintable())),
    st.builds(Step, st.sampled_from(log_events.AnswerStepKind), st.none()),
    st.builds(Started, st.uuids(), st.integers(1, 3)),
    st.builds(Failed, st.uuids(), st.sampled_from(ErrorCode), st.just("words"), st.booleans()),
    st.builds(Cited, st.integers(1, 9), st.uuids(), st.uuids(), st.just("n"), st.none(), st.just("q"), st.floats(0, 2)),
)


@given(BODIES, st.integers(1, 10**6))
def test_an_event_survives_its_encoding(body: log_events.Body, sequence: int) -> None:
    decoded = log_events.decode_event(log_events.encode_event("g", sequence, body))
    assert decoded == LogEvent("g", sequence, body, sequence)


@given(st.lists(BODIES, max_size=20))
def test_merging_keeps_text_order_and_sequences(bodies: list[log_events.Body]) -> None:
    events = [LogEvent("g", n, body, n) for n, body in enumerate(bodies, start=1)]
    merged = log_events.merge_deltas(events)
    expected = 1
    for event in merged:
        assert event.first_sequence == expected
        expected = event.sequence + 1
    assert expected == len(events) + 1
    texts = ["".join(e.body.text for e in side if isinstance(e.body, Delta)) for side in (events, merged)]
    assert texts[0] == texts[1]
    assert not any(isinstance(a.body, Delta) and isinstance(b.body, Delta) for a, b in pairwise(merged))


@given(st.uuids(), st.from_regex(r"[0-9a-z]{1,12}", fullmatch=True), st.integers(0, 10**9 - 1))
def test_a_cursor_survives_its_encoding(answer: object, generation: str, sequence: int) -> None:
    text = log_events.encode_cursor(answer, generation, sequence)  # type: ignore[arg-type]
    assert log_events.decode_cursor(text) == Cursor(answer, generation, sequence)  # type: ignore[arg-type]


@given(st.text(max_size=80))
def test_any_other_text_is_no_cursor_or_one_of_ours(text: str) -> None:
    try:
        cursor = log_events.decode_cursor(text)
    except InvalidIdError:
        return
    assert cursor.sequence >= 0
