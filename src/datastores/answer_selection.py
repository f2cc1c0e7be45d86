"""Which of a question's answers is selected: the one that the conversation's history uses."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from datastores.models import Answer, Message
from datastores.records import table
from datastores.transactions import Reads, WriteTransaction

_answers, _messages = table(Answer), table(Message)


async def select_answer(tx: WriteTransaction, question_id: UUID, answer_id: UUID, version: int) -> None:
    """Select this answer of the question's, as a change of that version. The conversation is held."""
    of_question = sa.and_(_answers.c.tenant_id == tx.tenant_id, _answers.c.question_id == question_id)
    # First the one that was selected: at no moment are there two.
    for condition, selected in (
        (_answers.c.selected & (_answers.c.id != answer_id), False),
        (_answers.c.id == answer_id, True),
    ):
        await tx.execute(sa.update(_answers).where(of_question, condition).values(selected=selected, version=version))


async def has_text(reads: Reads, answer_id: UUID) -> bool:
    """Whether the answer said anything that is stored."""
    statement = sa.select(_messages.c.id).where(
        _messages.c.tenant_id == reads.tenant_id, _messages.c.answer_id == answer_id
    )
    return await reads.scalar(statement) is not None


async def selected_has_text(reads: Reads, question_id: UUID) -> bool:
    """The same of the question's selected answer."""
    statement = (
        sa.select(_messages.c.id)
        .join(_answers, (_answers.c.tenant_id == _messages.c.tenant_id) & (_answers.c.id == _messages.c.answer_id))
        .where(_answers.c.tenant_id == reads.tenant_id, _answers.c.question_id == question_id, _answers.c.selected)
    )
    return await reads.scalar(statement) is not None
