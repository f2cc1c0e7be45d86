"""Questions as they are sent: storing one with its answer, and finding one by the key that it was sent with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningInsert

from core.ids import new_id
from datastores.conversations import NEXT_MESSAGE, next_version
from datastores.models import Answer, AnswerStatus, Conversation, Message, MessageRole
from datastores.records import AnswerRecord, MessageRecord, table
from datastores.transactions import Reads, WriteTransaction

_conversations, _messages, _answers = table(Conversation), table(Message), table(Answer)
# Named otherwise than the columns: a value for a column's name would be one that an UPDATE or INSERT sets.
_TENANT = sa.bindparam("of_tenant", type_=sa.Uuid)
_MESSAGE_FIELDS = len(fields(MessageRecord))

_QUESTION_BY_KEY = (
    sa.select(_messages.c.id, _answers.c.id, _messages.c.conversation_id, _messages.c.text)
    .join(_answers, (_answers.c.tenant_id == _messages.c.tenant_id) & (_answers.c.question_id == _messages.c.id))
    .where(
        _messages.c.tenant_id == _TENANT,
        _messages.c.author_id == sa.bindparam("asked_by"),
        _messages.c.idempotency_key == sa.bindparam("key"),
    )
    .order_by(_answers.c.turn)
    .limit(1)
)


def _add_question() -> sa.Select[Any]:
    """Place, message and answer in one statement; the foreign keys are checked at its end."""
    conversation_id = sa.bindparam("conversation", type_=sa.Uuid)
    title = sa.bindparam("new_title", type_=sa.String)
    names = (_conversations.c.title == "") & (title != "")
    place = next_version(
        (_conversations.c.tenant_id == _TENANT) & (_conversations.c.id == conversation_id),
        **NEXT_MESSAGE,
        title=sa.case((names, title), else_=_conversations.c.title),
        updated_version=sa.case((names, _conversations.c.version + 1), else_=_conversations.c.updated_version),
    ).cte("place")
    message = _added(
        _messages,
        MessageRecord,
        {
            "tenant_id": _TENANT,
            "id": sa.bindparam("message", type_=sa.Uuid),
            "conversation_id": conversation_id,
            "sequence": place.c.last_sequence,
            "version": place.c.version,
            "role": sa.literal(MessageRole.USER, _messages.c.role.type),
            "text": sa.bindparam("question", type_=sa.String),
            "author_id": sa.bindparam("asked_by", type_=sa.Uuid),
            "idempotency_key": sa.bindparam("key", type_=sa.String),
        },
    ).cte("message")
    answer = _added(
        _answers,
        AnswerRecord,
        {
            "tenant_id": _TENANT,
            "id": sa.bindparam("answer", type_=sa.Uuid),
            "conversation_id": conversation_id,
            "question_id": sa.bindparam("message", type_=sa.Uuid),
            "status": sa.literal(AnswerStatus.PENDING, _answers.c.status.type),
            "epoch": sa.literal(0),
            "turn": place.c.version,
            "version": place.c.version,
            "selected": sa.true(),
            "cached": sa.false(),
        },
    ).cte("answer")
    return sa.select(*message.c, *answer.c).select_from(message.join(answer, sa.true()))


def _added(to: sa.Table, record: type[Any], values: Mapping[str, sa.ColumnElement[Any]]) -> ReturningInsert[Any]:
    """One row of these values, and what a read of the record gives of it."""
    row = sa.select(*values.values())
    return sa.insert(to).from_select(list(values), row).returning(*(to.c[field.name] for field in fields(record)))


_ADD_QUESTION = _add_question()


@dataclass(slots=True)
class StoredQuestion:
    """A question and the answer that was made for it."""

    message_id: UUID
    answer_id: UUID
    conversation_id: UUID
    text: str


async def question_by_key(reads: Reads, author_id: UUID, idempotency_key: str) -> StoredQuestion | None:
    """The question that this person sent with this key, if any."""
    values = {"of_tenant": reads.tenant_id, "asked_by": author_id, "key": idempotency_key}
    return await reads.first(StoredQuestion, _QUESTION_BY_KEY, values)


@dataclass(slots=True)
class Asked:
    """A question that has just been stored, and its answer: what a read gives of them now."""

    message: MessageRecord
    answer: AnswerRecord


async def add_question(
    tx: WriteTransaction,
    *,
    conversation_id: UUID,
    author_id: UUID,
    text: str,
    title: str,
    idempotency_key: str | None,
    answer_id: UUID,
) -> Asked:
    """Store a question with its PENDING answer, of that id. `title` names a conversation that has no title yet.

    The conversation is held (`lock_own`). Raises IntegrityError when the person has used the key before.
    """
    values = {
        "of_tenant": tx.tenant_id,
        "conversation": conversation_id,
        "new_title": title,
        "message": new_id(),
        "question": text,
        "asked_by": author_id,
        "key": idempotency_key,
        "answer": answer_id,
    }
    (row,) = await tx.rows(_ADD_QUESTION, values)
    return Asked(MessageRecord(*row[:_MESSAGE_FIELDS]), AnswerRecord(*row[_MESSAGE_FIELDS:]))
