"""The relations between messages and answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from strawberry.dataloader import DataLoader

from datastores.models import Answer, Citation, Message
from datastores.records import AnswerRecord, CitationRecord, MessageRecord, select_record, table
from datastores.transactions import Reads

_answers, _messages, _citations = table(Answer), table(Message), table(Citation)
_TENANT: sa.BindParameter[Any] = sa.bindparam("tenant_id")
_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_MESSAGES = select_record(MessageRecord).where(_messages.c.tenant_id == _TENANT, _messages.c.answer_id.in_(_IDS))
_CITATIONS = (
    select_record(CitationRecord)
    .where(_citations.c.tenant_id == _TENANT, _citations.c.answer_id.in_(_IDS))
    .order_by(_citations.c.marker)
)


class AnswersByQuestion(DataLoader[UUID, list[AnswerRecord]]):
    """Every answer to a question, oldest first."""

    def __init__(self, reads: Reads) -> None:
        super().__init__(self._load)
        self._reads = reads

    async def _load(self, question_ids: Sequence[UUID]) -> list[list[AnswerRecord]]:
        statement = (
            select_record(AnswerRecord)
            .where(_answers.c.tenant_id == self._reads.tenant_id, _answers.c.question_id.in_(question_ids))
            .order_by(_answers.c.id)
        )
        by_question = defaultdict(list)
        for row in await self._reads.records(AnswerRecord, statement):
            by_question[row.question_id].append(row)
        return [by_question[key] for key in question_ids]


class MessagesByAnswer(DataLoader[UUID, MessageRecord | None]):
    """The message that an answer produced; None while it is being written, and for one that said nothing."""

    def __init__(self, reads: Reads) -> None:
        super().__init__(self._load)
        self._reads = reads

    async def _load(self, answer_ids: Sequence[UUID]) -> list[MessageRecord | None]:
        values = {"tenant_id": self._reads.tenant_id, "ids": answer_ids}
        by_answer = {row.answer_id: row for row in await self._reads.records(MessageRecord, _MESSAGES, values)}
        return [by_answer.get(key) for key in answer_ids]


class CitationsByAnswer(DataLoader[UUID, list[CitationRecord]]):
    """An answer's citations in order of their markers."""

    def __init__(self, reads: Reads) -> None:
        super().__init__(self._load)
        self._reads = reads

    async def _load(self, answer_ids: Sequence[UUID]) -> list[list[CitationRecord]]:
        values = {"tenant_id": self._reads.tenant_id, "ids": answer_ids}
        by_answer = defaultdict(list)
        for row in await self._reads.records(CitationRecord, _CITATIONS, values):
            by_answer[row.answer_id].append(row)
        return [by_answer[key] for key in answer_ids]


MessageKey = tuple[UUID, UUID | None]


class AnswersOfMessages(DataLoader[MessageKey, AnswerRecord | None]):
    """Of an ASSISTANT message the answer that made it; of a USER message its selected, else its newest answer.

    Keys are (message id, the message's answer id); one statement finds both kinds.
    """

    def __init__(self, reads: Reads) -> None:
        super().__init__(self._load)
        self._reads = reads

    async def _load(self, keys: Sequence[MessageKey]) -> list[AnswerRecord | None]:
        made_by = [answer_id for _, answer_id in keys if answer_id is not None]
        asked = [message_id for message_id, answer_id in keys if answer_id is None]
        statement = (
            select_record(AnswerRecord)
            .where(
                _answers.c.tenant_id == self._reads.tenant_id,
                sa.or_(_answers.c.id.in_(made_by), _answers.c.question_id.in_(asked)),
            )
            .order_by(_answers.c.selected, _answers.c.id)
        )
        rows = await self._reads.records(AnswerRecord, statement)
        by_id = {row.id: row for row in rows}
        # The last one wins: selected ones come after the others, newer ones after older ones.
        by_question = {row.question_id: row for row in rows}
        return [by_question.get(message_id) if made is None else by_id.get(made) for message_id, made in keys]
