"""Which processes write answers, and which answers have been left by theirs: what PostgreSQL knows of it.

A process shows life for all that it writes in one row, whether or not Redis answers it: Redis may be away for those
alone who look.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from core.ids import TenantId
from datastores.answer_attempts import HANDED_OVER
from datastores.answers import UNFINISHED
from datastores.models import Answer, AnswerAttempt, AnswerProducer, AnswerStatus
from datastores.records import table
from datastores.tenants import suspended
from datastores.transactions import PlatformTransaction

_FORGOTTEN = timedelta(days=1)
"""After which the row of a process that is gone is removed."""
_answers, _producers, _attempts = table(Answer), table(AnswerProducer), table(AnswerAttempt)
_other = _answers.alias("other")
# As much of whose turn it is as the platform role can see, which may read named columns only and no message.
_another_begun = (
    sa.select(_other.c.id)
    .where(
        _other.c.tenant_id == _answers.c.tenant_id,
        _other.c.conversation_id == _answers.c.conversation_id,
        _other.c.status == AnswerStatus.STREAMING,
    )
    .correlate(_answers)
    .exists()
)
_handed_over = (
    sa.select(_attempts.c.answer_id)
    .where(
        _attempts.c.tenant_id == _answers.c.tenant_id,
        _attempts.c.answer_id == _answers.c.id,
        _attempts.c.epoch == _answers.c.epoch,
        _attempts.c.finish_reason == HANDED_OVER,
    )
    .correlate(_answers)
    .exists()
)
_stopped = _answers.c.stop_requested_at.is_not(None)
_silence = (
    sa.select(sa.cast(sa.extract("epoch", sa.func.now() - _producers.c.seen_at), sa.Double()))
    .where(
        _producers.c.id == _answers.c.producer_id,
        _producers.c.id != sa.bindparam("asking", type_=sa.Uuid()),
    )
    .correlate(_answers)
    .scalar_subquery()
)
_UNFINISHED = (
    sa.select(
        _answers.c.tenant_id,
        _answers.c.id,
        _answers.c.epoch,
        _stopped,
        _handed_over,
        _answers.c.producer_id.is_not(None),
        _silence,
    )
    .where(
        _answers.c.status.in_(UNFINISHED),
        _answers.c.created_at < sa.func.now() - sa.bindparam("age", type_=sa.Interval()),
        sa.or_(_answers.c.status == AnswerStatus.STREAMING, ~_another_begun),
        ~suspended(_answers.c.tenant_id),
    )
    .order_by(_answers.c.created_at)
    .limit(sa.bindparam("most", type_=sa.Integer()))
)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An answer that has not ended, and what is known of whoever writes it."""

    tenant_id: TenantId
    id: UUID
    epoch: int
    """0: nobody has begun it."""
    stopped: bool
    """Whether a person wants it stopped."""
    handed_over: bool
    """Whether whoever wrote it has given it up in order, so that nobody does."""
    named: bool
    """Whether it is known which process wrote it."""
    silence: float | None
    """Seconds since that process showed life; None where it never has, or is the one that asks."""


async def show_life(tx: PlatformTransaction, producer_id: UUID) -> None:
    """Say that the process writes answers. Sweeps of others go by it where Redis knows of no lease."""
    await tx.do_not_wait_for_the_disk()
    seen: Any = postgresql.insert(_producers).values(id=producer_id, seen_at=sa.func.now())
    seen = seen.on_conflict_do_update(index_elements=[_producers.c.id], set_={"seen_at": sa.func.now()})
    # A row that nobody has updated yet is one that this statement has added.
    if await tx.scalar(seen.returning(sa.literal_column("xmax = 0", sa.Boolean()))):
        await tx.execute(sa.delete(_producers).where(_producers.c.seen_at < sa.func.now() - _FORGOTTEN))


async def unfinished(tx: PlatformTransaction, asking: UUID, *, older_than: timedelta, most: int) -> list[Unfinished]:
    """Answers that have not ended, of every tenant that is not suspended, the oldest first.

    `asking` is the process that asks, and means those that it does not write (any more). Of a conversation the one that
    somebody has begun, or else all of them: whose turn it is, `claim` decides.
    """
    rows = await tx.rows(_UNFINISHED, {"asking": asking, "age": older_than, "most": most})
    return [Unfinished(TenantId(row[0]), *row[1:]) for row in rows]
