"""Which answers a sweep takes over: by leases and signs of life, and by these alone where Redis refuses to tell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from answers.forgotten import ForgottenAnswers
from core.ids import TenantId
from core.settings import Settings
from datastores.answer_log import AnswerLog
from datastores.answer_producers import Unfinished
from datastores.redis_client import make_redis
from own_servers import own_redis

TENANT = TenantId(uuid4())


@pytest.fixture
async def redis(settings: Settings, tmp_path: Path) -> AsyncIterator[Redis]:
    """Of a server of the test's own, whose rights it may change."""
    async with own_redis(tmp_path) as server:
        client = make_redis(settings.model_copy(update={"redis_url": server.url}))
        yield client
        await client.aclose()


def one(silence: float | None, *, handed_over: bool = False, epoch: int = 1, named: bool = True) -> Unfinished:
    return Unfinished(TENANT, uuid4(), epoch, False, handed_over, named, silence)


async def taken(redis: Redis, answer: Unfinished, *, leased: bool = False, sweeps: int = 2) -> bool:
    """Whether that many sweeps in a row take it."""
    log = AnswerLog(redis, finished_ttl=60)
    forgotten = ForgottenAnswers(log)
    if leased:
        await log.hold_lease(TENANT, answer.id, answer.epoch)
    found: list[Unfinished] = []
    for _ in range(sweeps):
        found = await forgotten.among([answer])
    return found == [answer]


@pytest.mark.parametrize(
    ("silence", "leased", "expected"),
    [(None, False, True), (5.0, False, True), (1.0, False, False), (5.0, True, False), (None, True, False),
     (-3_600.0, False, True), (-0.5, False, False)],
    ids=["no life, no lease", "silent", "alive", "leased and silent", "leased", "seen in the future", "just now"],
)  # fmt: skip
async def test_a_producer_is_lost_without_lease_and_without_life(
    redis: Redis, silence: float | None, leased: bool, expected: bool
) -> None:
    assert await taken(redis, one(silence), leased=leased) is expected
    assert not await taken(redis, one(silence), leased=leased, sweeps=1)


@pytest.mark.parametrize("refusal", ["reading", "everything"])
async def test_where_redis_refuses_to_tell_postgresql_s_word_counts(redis: Redis, refusal: str) -> None:
    await redis.execute_command("ACL", "SETUSER", "default", "-mget" if refusal == "reading" else "-@all")
    for answer, sweeps in ((one(None, epoch=0), 1), (one(1.0, handed_over=True), 1), (one(9.0), 3)):
        assert await taken(redis, answer, sweeps=sweeps)
    for answer in (one(1.0), one(None, named=False)):
        assert not await taken(redis, answer, sweeps=5)


async def test_a_redis_that_comes_back_counts_sweeps_anew_for_none_of_the_living(redis: Redis) -> None:
    forgotten, answer = ForgottenAnswers(AnswerLog(redis, finished_ttl=60)), one(9.0)
    assert await forgotten.among([answer]) == []
    await AnswerLog(redis, finished_ttl=60).hold_lease(TENANT, answer.id, 1)
    assert await forgotten.among([answer]) == []
    assert await forgotten.among([answer]) == []


async def test_a_producer_that_alone_has_lost_postgresql_does_not_hold_its_answer_for_ever(redis: Redis) -> None:
    assert not await taken(redis, one(31.0), leased=True, sweeps=14)
    assert await taken(redis, one(31.0), leased=True, sweeps=15)
    assert not await taken(redis, one(29.0), leased=True, sweeps=20)
    assert not await taken(redis, one(None, named=False), leased=True, sweeps=20)
