"""Attempts at an answer that were given up in order: their producer was asked to stop, or lost the database."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from core.ids import new_id
from datastores.models import Answer, AnswerAttempt
from datastores.records import table
from datastores.transactions import Reads, WriteTransaction

HANDED_OVER = "HANDED_OVER"
"""Such an attempt's `finish_reason`. One whose producer vanished has no row at all."""
_answers, _attempts = table(Answer), table(AnswerAttempt)


async def hand_over(
    tx: WriteTransaction,
    answer_id: UUID,
    epoch: int,
    *,
    ordinal: int,
    provider: str,
    model: str,
    started_at: datetime,
) -> None:
    """Record that this attempt ended without a fault of the answer's. Changes nothing where it has a row already.

    `ordinal` is that of the model that was being asked.
    """
    # Selected from the answer, which may have been deleted meanwhile.
    row = sa.select(
        _answers.c.tenant_id,
        sa.literal(new_id(), sa.Uuid()),
        _answers.c.id,
        sa.literal(epoch),
        sa.literal(ordinal),
        sa.literal(provider),
        sa.literal(model),
        sa.literal(HANDED_OVER),
        sa.literal(started_at, sa.DateTime(timezone=True)),
        sa.func.clock_timestamp(),
    ).where(_answers.c.tenant_id == tx.tenant_id, _answers.c.id == answer_id)
    columns = [
        *("tenant_id", "id", "answer_id", "epoch", "ordinal", "provider", "model", "finish_reason"),
        *("started_at", "finished_at"),
    ]
    await tx.execute(postgresql.insert(_attempts).from_select(columns, row).on_conflict_do_nothing())


async def handed_over(reads: Reads, answer_id: UUID) -> int:
    """How many attempts at the answer were given up in order."""
    statement = sa.select(sa.func.count()).where(
        _attempts.c.tenant_id == reads.tenant_id,
        _attempts.c.answer_id == answer_id,
        _attempts.c.finish_reason == HANDED_OVER,
    )
    count: int = await reads.scalar(statement)
    return count
