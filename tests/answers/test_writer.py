"""The producer's pen on a real Redis: what is merged and what is not, in order, and what happens when it may not write.

How long things take is only asserted where it is bounded by a wide margin: the machine may be busy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from answers.pace import SAMPLE_SECONDS, Pace
from answers.writer import MAX_DELTA_CHARS, AnswerWriter
from core.ids import TenantId
from core.settings import Settings
from datastores.answer_events import AnswerStepKind, Body, Cited, Completed, Delta, LogEvent, Restarted, Started, Step
from datastores.answer_log import AnswerLog, SupersededError
from datastores.postgres import Postgres
from datastores.redis_client import make_redis
from wire import in_time

TENANT = TenantId(uuid4())
CITED = Cited(1, None, None, "notes.txt", None, "a quote", 0.1)


class Desk:
    """Writers on one Redis, and what their logs hold."""

    def __init__(self, settings: Settings, redis: Redis, postgres: Postgres) -> None:
        self.redis = redis
        self.log = AnswerLog(redis, finished_ttl=60)
        self._settings = settings
        self._postgres = postgres
        self.losses = 0

    async def writer(self, answer: UUID, *, busy: bool = False, epoch: int = 1) -> AnswerWriter:
        """An open writer of a process that is idle, or so busy that every token waits its longest."""
        loads = {"merge_from_load": 0.0, "merge_full_load": 0.0} if busy else {"merge_longest_ms": 0.0}
        pace = Pace(self._settings.model_copy(update=loads))
        writer = AnswerWriter(self.log, self._postgres, pace, TENANT, answer, epoch, lost=self._lost)
        await writer.open()
        return writer

    async def events(self, answer: UUID) -> list[LogEvent]:
        """The whole log."""
        found = await self.log.read(TENANT, answer, None, 0, most_bytes=1 << 30)
        assert found is not None
        return found.events

    async def bodies(self, answer: UUID) -> list[Body]:
        return [event.body for event in await self.events(answer)]

    def _lost(self) -> None:
        self.losses += 1


@pytest.fixture(scope="module")
async def desk(shared_settings: Settings) -> AsyncIterator[Desk]:
    redis, postgres = make_redis(shared_settings), Postgres(shared_settings)
    yield Desk(shared_settings, redis, postgres)
    await postgres.aclose()
    await redis.aclose()


async def test_an_idle_process_sends_each_token_at_once_and_by_itself(desk: Desk) -> None:
    answer = uuid4()
    writer = await desk.writer(answer)
    for number in range(20):
        writer.say([Delta(f"{number} ")])
        await in_time(writer._nothing.wait())
    await writer.aclose()
    assert await desk.bodies(answer) == [Started(answer, 1), *(Delta(f"{number} ") for number in range(20))]


async def test_what_is_said_while_an_append_is_under_way_goes_out_as_one(desk: Desk) -> None:
    answer = uuid4()
    writer = await desk.writer(answer)
    # Redis answers nobody for a while.
    await desk.redis.client_pause(300, all=False)
    writer.say([Delta("first ")])
    await asyncio.sleep(0.02)
    for text in ("one ", "two ", "three"):
        writer.say([Delta(text)])
        await asyncio.sleep(0)
    writer.say([CITED])
    for text in ("[1]", "."):
        writer.say([Delta(text)])
    await in_time(writer.settle())
    await writer.aclose()
    events = await desk.events(answer)
    assert [event.body for event in events] == [
        Started(answer, 1),
        Delta("first "),
        Delta("one two three"),
        CITED,
        Delta("[1]."),
    ]
    assert [(event.first_sequence, event.sequence) for event in events] == [(n, n) for n in range(1, 6)]


async def test_a_busy_process_gathers_tokens_but_holds_up_neither_the_first_nor_anything_else(desk: Desk) -> None:
    answer = uuid4()
    writer = await desk.writer(answer, busy=True)
    writer.say([Step(AnswerStepKind.RETRIEVING)])
    await in_time(writer._nothing.wait())
    writer.say([Delta("first")])
    await in_time(writer._nothing.wait())
    assert (await desk.bodies(answer))[-1] == Delta("first")
    for text in (" a", " b", " c"):
        writer.say([Delta(text)])
        await asyncio.sleep(0)
    assert (await desk.bodies(answer))[-1] == Delta("first")
    await in_time(writer._nothing.wait())
    writer.say([Delta(" d")])
    await asyncio.sleep(0)
    writer.say([Completed(answer)])
    await in_time(writer.settle())
    await writer.aclose()
    assert (await desk.bodies(answer))[2:] == [Delta("first"), Delta(" a b c"), Delta(" d"), Completed(answer)]


async def test_a_wait_is_never_longer_than_the_setting(desk: Desk) -> None:
    pace = Pace(Settings(merge_from_load=0, merge_full_load=0, merge_longest_ms=40))
    loop = asyncio.get_running_loop()
    for _ in range(20):
        began = loop.time()
        waiting = pace.wait()
        assert waiting is not None
        (turn,) = pace._turns
        assert 0 < turn - began <= 0.04
        await waiting
    # Ten answers that wait at once wait for the same moments.
    assert len({id(pace.wait()) for _ in range(10)}) == 10
    assert len(pace._turns) <= 2
    await asyncio.sleep(0.05)
    assert not pace._turns


async def test_how_busy_the_process_is_is_measured_while_tokens_flow() -> None:
    pace = Pace(Settings())
    async with asyncio.timeout(10):
        while pace.load < 0.5:
            pace.wait()
            time.sleep(SAMPLE_SECONDS)  # noqa: ASYNC251 - this is the load
            await asyncio.sleep(0)
        waiting = pace.wait()
        assert waiting is not None
        await waiting
        while pace.load > 0.1:
            pace.wait()
            await asyncio.sleep(SAMPLE_SECONDS)
    assert pace._sampling is None or pace.wait() is None


async def test_a_text_of_any_length_is_written_in_pieces_of_bounded_length(desk: Desk) -> None:
    answer, text = uuid4(), "😀é x" * 50_000
    writer = await desk.writer(answer)
    writer.say([Delta(text), Delta("!")])
    await in_time(writer.settle())
    await writer.aclose()
    texts = [body.text for body in await desk.bodies(answer) if isinstance(body, Delta)]
    assert "".join(texts) == text + "!"
    assert {len(each) for each in texts[:-1]} == {MAX_DELTA_CHARS}


async def test_whoever_has_lost_the_answer_is_told_and_writes_nothing_more(desk: Desk) -> None:
    answer, losses = uuid4(), desk.losses
    old = await desk.writer(answer)
    new = await desk.writer(answer, epoch=2)
    old.say([Delta("late")])
    with pytest.raises(SupersededError):
        await in_time(old.settle())
    assert desk.losses == losses + 1
    for again in (lambda: old.say([Delta("later")]), old.check):
        with pytest.raises(SupersededError):
            again()
    new.say([Delta("mine")])
    await in_time(new.settle())
    await old.aclose()
    await new.aclose()
    assert [body for body in await desk.bodies(answer) if isinstance(body, Delta)] == [Delta("mine")]


async def test_a_log_that_is_lost_while_tokens_wait_begins_again_with_each_of_them_once(
    settings: Settings, postgres: Postgres
) -> None:
    redis = make_redis(settings)
    desk, answer = Desk(settings, redis, postgres), uuid4()
    writer = await desk.writer(answer)
    writer.say([Delta("one "), CITED, Delta("[1] ")])
    await in_time(writer.settle())
    await redis.flushdb()
    for text in ("two ", "three"):
        writer.say([Delta(text)])
    # Nobody owns this answer in the database but its terminal event, which follows its commit.
    writer.say([Completed(answer)])
    await in_time(writer.settle())
    await writer.aclose()
    bodies = await desk.bodies(answer)
    await redis.aclose()
    assert isinstance(bodies[0], Restarted)
    assert bodies[1:] == [CITED, Delta("one [1] two three"), Completed(answer)]


async def test_scripts_that_redis_has_forgotten_are_sent_again(desk: Desk) -> None:
    answers = [uuid4() for _ in range(5)]
    writers = [await desk.writer(answer) for answer in answers]
    await desk.redis.script_flush()
    for writer in writers:
        writer.say([Delta("a")])
    await in_time(asyncio.gather(*(writer.settle() for writer in writers)))
    for writer, answer in zip(writers, answers, strict=True):
        await writer.aclose()
        assert await desk.bodies(answer) == [Started(answer, 1), Delta("a")]


async def test_a_connection_that_is_cut_is_made_again_and_nothing_is_missing_or_there_twice(desk: Desk) -> None:
    answer = uuid4()
    writer = await desk.writer(answer)
    writer.say([Delta("one ")])
    await in_time(writer.settle())
    connection = desk.log._appends._connection
    assert connection is not None
    host, port = connection._writer.get_extra_info("sockname")
    assert await desk.redis.client_kill_filter(addr=f"{host}:{port}") == 1
    for text in ("two ", "three"):
        writer.say([Delta(text)])
        await in_time(writer.settle())
    await writer.aclose()
    assert (await desk.bodies(answer))[1:] == [Delta("one "), Delta("two "), Delta("three")]


async def test_one_answer_s_refusal_is_not_another_s(desk: Desk) -> None:
    mine, lost = uuid4(), uuid4()
    writer, late = await desk.writer(mine), await desk.writer(lost)
    await (await desk.writer(lost, epoch=2)).aclose()
    late.say([Delta("x")])
    writer.say([Delta("y")])
    await in_time(writer.settle())
    with pytest.raises(SupersededError):
        await in_time(late.settle())
    await writer.aclose()
    await late.aclose()
    assert (await desk.bodies(mine))[1:] == [Delta("y")]


SAID = st.lists(
    st.one_of(
        st.sampled_from(["a", " b", "é", "😀", "\n", "x" * 50]).map(Delta),
        st.just(CITED),
        st.just(Step(AnswerStepKind.THINKING)),
        st.sampled_from(["go on", "wait"]),
    ),
    max_size=40,
)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(said=SAID, busy=st.booleans())
@pytest.mark.timeout(60)  # 25 schedules
def test_whatever_is_merged_the_log_has_everything_in_order_without_a_hole(
    said: list[Body | str], busy: bool, shared_settings: Settings
) -> None:
    asyncio.run(_say_all(said, busy, shared_settings))


async def _say_all(said: list[Body | str], busy: bool, settings: Settings) -> None:
    redis, postgres = make_redis(settings), Postgres(settings)
    desk, answer = Desk(settings, redis, postgres), uuid4()
    writer = await desk.writer(answer, busy=busy)
    for one in said:
        if isinstance(one, str):
            await asyncio.sleep(0.003 if one == "wait" else 0)
        else:
            writer.say([one])
    await in_time(writer.settle())
    await writer.aclose()
    events = await desk.events(answer)
    await redis.aclose()
    await postgres.aclose()
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert _joined([event.body for event in events[1:]]) == _joined([one for one in said if not isinstance(one, str)])


def _joined(bodies: list[Body]) -> list[Body | str]:
    """The same with each run of deltas as its text: what no merging may change."""
    joined: list[Body | str] = []
    for body in bodies:
        if isinstance(body, Delta) and joined and isinstance(joined[-1], str):
            joined[-1] += body.text
        else:
            joined.append(body.text if isinstance(body, Delta) else body)
    return joined
