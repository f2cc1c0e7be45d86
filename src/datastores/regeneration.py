"""Another answer to a question that has been answered."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from datastores.answers import UNFINISHED
from datastores.conversations import note_change
from datastores.models import Answer
from datastores.records import AnswerRecord, table
from datastores.transactions import Reads, WriteTransaction

_answers = table(Answer)


@dataclass(slots=True)
class Regenerated:
    """An answer that a person asked for again."""

    answer_id: UUID
    question_id: UUID


async def regenerated_by_key(reads: Reads, person_id: UUID, idempotency_key: str) -> Regenerated | None:
    """What this person asked for with this key, if anything."""
    statement = sa.select(_answers.c.id, _answers.c.question_id).where(
        _answers.c.tenant_id == reads.tenant_id,
        _answers.c.requested_by_id == person_id,
        _answers.c.idempotency_key == idempotency_key,
    )
    return await reads.first(Regenerated, statement)


async def is_being_answered(reads: Reads, question_id: UUID) -> bool:
    """Whether an answer to the question has not ended."""
    statement = sa.select(_answers.c.id).where(
        _answers.c.tenant_id == reads.tenant_id,
        _answers.c.question_id == question_id,
        _answers.c.status.in_(UNFINISHED),
    )
    return bool(await reads.rows(statement))


async def regenerate(
    tx: WriteTransaction, earlier: AnswerRecord, *, answer_id: UUID, person_id: UUID, idempotency_key: str | None
) -> Regenerated:
    """Store a PENDING answer, of that id, to the question of an earlier one. The conversation is held.

    Its turn comes after everything that has been asked in the conversation so far. Raises IntegrityError when the
    person has used the key before.
    """
    place = await note_change(tx, earlier.conversation_id)
    assert place is not None, "it is held"
    answer = Answer(
        tenant_id=tx.tenant_id,
        id=answer_id,
        conversation_id=earlier.conversation_id,
        question_id=earlier.question_id,
        selected=False,
        turn=place.version,
        version=place.version,
        requested_by_id=person_id,
        idempotency_key=idempotency_key,
    )
    tx.session.add(answer)
    await tx.session.flush()
    return Regenerated(answer_id, earlier.question_id)
