"""Stopping an answer: at once where nobody has begun it, else by a request that whoever writes it cannot miss."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa
from redis.asyncio import Redis

from datastores import redis_keys
from datastores.answer_turns import version_where
from datastores.models import Answer, AnswerStatus
from datastores.records import table
from datastores.redis_circuit import RedisCircuit
from datastores.redis_client import REDIS_ERRORS
from datastores.transactions import PlatformTransaction, Reads, WriteTransaction

_answers = table(Answer)


async def stop_waiting(tx: WriteTransaction, answer_id: UUID) -> bool:
    """End an answer that nobody has begun; False, and nothing changed, for any other."""
    waits = sa.and_(
        _answers.c.tenant_id == tx.tenant_id,
        _answers.c.id == answer_id,
        _answers.c.status == AnswerStatus.PENDING,
    )
    version = version_where(waits)
    statement = (
        sa.update(_answers)
        .where(waits, _answers.c.conversation_id == version.c.id)
        .values(
            status=AnswerStatus.STOPPED,
            version=version.c.version,
            stop_requested_at=sa.func.now(),
            finished_at=sa.func.now(),
        )
    )
    return await tx.execute(statement, {"of_tenant": tx.tenant_id}) == 1


async def request_stop(tx: WriteTransaction, answer_id: UUID) -> bool:
    """Have whoever writes the answer end it; False for one that nobody writes."""
    statement = (
        sa.update(_answers)
        .where(
            _answers.c.tenant_id == tx.tenant_id,
            _answers.c.id == answer_id,
            _answers.c.status == AnswerStatus.STREAMING,
        )
        # The first request's time stays.
        .values(stop_requested_at=sa.func.coalesce(_answers.c.stop_requested_at, sa.func.now()))
    )
    return await tx.execute(statement) == 1


async def stop_requested(tx: PlatformTransaction, answer_ids: Collection[UUID]) -> set[UUID]:
    """Those of the answers, of any tenant, that a person wants stopped."""
    if not answer_ids:
        return set()
    statement = sa.select(_answers.c.id).where(_answers.c.id.in_(answer_ids), _answers.c.stop_requested_at.is_not(None))
    return {row[0] for row in await tx.rows(statement)}


async def is_to_be_stopped(reads: Reads, answer_id: UUID) -> bool:
    """Whether the answer is unfinished, and a person wants it stopped."""
    statement = sa.select(_answers.c.id).where(
        _answers.c.tenant_id == reads.tenant_id,
        _answers.c.id == answer_id,
        _answers.c.status == AnswerStatus.STREAMING,
        _answers.c.stop_requested_at.is_not(None),
    )
    return await reads.scalar(statement) is not None


class StopCalls:
    """Calls those who write answers. One per process.

    Its circuit is its own: a cache that was late once must not make a stop late, too.
    """

    def __init__(self, redis: Redis, circuit: RedisCircuit) -> None:
        self._redis, self._circuit = redis, circuit

    async def tell_producer(self, answer_id: UUID) -> bool:
        """Have whoever writes the answer look up at once; False: Redis is away, and it looks within two seconds."""
        try:
            await self._circuit.ask(lambda: self._redis.publish(redis_keys.ANSWER_STOPS, answer_id.hex))
        except REDIS_ERRORS:
            return False
        return True
