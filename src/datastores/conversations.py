"""Conversations and their messages. Numbers are taken in the message's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from datastores.models import Answer, AnswerStatus, Conversation, Message, MessageRole
from datastores.pages import Page, PageRequest, keyset_page
from datastores.records import ConversationRecord, MessageRecord, select_record, table
from datastores.transactions import Reads, WriteTransaction

_conversations, _messages, _answers = table(Conversation), table(Message), table(Answer)


async def conversations_of(
    reads: Reads, owner_id: UUID, title: str | None, request: PageRequest
) -> Page[ConversationRecord]:
    """A person's conversations, newest activity first; `title` keeps those whose title contains it, in any case."""
    statement = select_record(ConversationRecord).where(
        _conversations.c.tenant_id == reads.tenant_id, _conversations.c.owner_id == owner_id
    )
    if title:
        statement = statement.where(_conversations.c.title.icontains(title, autoescape=True))
    keys = [_conversations.c.last_message_at, _conversations.c.id]
    return await keyset_page(reads, ConversationRecord, statement, keys, request, descending=True)


async def own_conversations(reads: Reads, owner_id: UUID, ids: Sequence[UUID]) -> list[ConversationRecord]:
    """Those of the conversations that are this person's, in no order."""
    statement = select_record(ConversationRecord).where(
        _conversations.c.tenant_id == reads.tenant_id,
        _conversations.c.id.in_(ids),
        _conversations.c.owner_id == owner_id,
    )
    return await reads.records(ConversationRecord, statement)


async def own_messages(reads: Reads, owner_id: UUID, ids: Sequence[UUID]) -> list[MessageRecord]:
    """Those of the messages that stand in conversations of this person's, in no order."""
    statement = (
        select_record(MessageRecord)
        .join(
            _conversations,
            (_conversations.c.tenant_id == _messages.c.tenant_id)
            & (_conversations.c.id == _messages.c.conversation_id),
        )
        .where(
            _messages.c.tenant_id == reads.tenant_id,
            _messages.c.id.in_(ids),
            _conversations.c.owner_id == owner_id,
        )
    )
    return await reads.records(MessageRecord, statement)


@dataclass(slots=True)
class StoredQuestion:
    """A question and the answer that was made for it."""

    message_id: UUID
    answer_id: UUID
    conversation_id: UUID
    text: str


async def question_by_key(reads: Reads, author_id: UUID, idempotency_key: str) -> StoredQuestion | None:
    """The question that this person sent with this key, if any."""
    statement = (
        sa.select(_messages.c.id, _answers.c.id, _messages.c.conversation_id, _messages.c.text)
        .join(
            _answers,
            (_answers.c.tenant_id == _messages.c.tenant_id) & (_answers.c.question_id == _messages.c.id),
        )
        .where(
            _messages.c.tenant_id == reads.tenant_id,
            _messages.c.author_id == author_id,
            _messages.c.idempotency_key == idempotency_key,
        )
        .order_by(_answers.c.turn)
        .limit(1)
    )
    return await reads.first(StoredQuestion, statement)


async def lock_own(tx: WriteTransaction, owner_id: UUID, conversation_id: UUID) -> bool:
    """Hold the conversation until the transaction's end; False where it is not this person's.

    Whoever changes a conversation, its messages or its answers holds its row before any of theirs: there is one order
    of locks, and so no deadlock.
    """
    statement = (
        sa.select(_conversations.c.id)
        .where(
            _conversations.c.tenant_id == tx.tenant_id,
            _conversations.c.id == conversation_id,
            _conversations.c.owner_id == owner_id,
        )
        .with_for_update(key_share=True)
    )
    return await tx.scalar(statement) is not None


@dataclass(slots=True)
class Place:
    """Where a change stands: the conversation's version, and the number of its newest message."""

    version: int
    sequence: int


async def note_change(tx: WriteTransaction, conversation_id: UUID) -> Place | None:
    """The version for a change that is no message. Holds the conversation's row. None: it is gone."""
    return await _next(tx, conversation_id, {})


async def take_place(tx: WriteTransaction, conversation_id: UUID, title: str | None = None) -> Place | None:
    """The next message's number and version. Holds the conversation's row, so that messages are stored in their order.

    `title` names a conversation that has none yet. None: the conversation is gone.
    """
    values: dict[str, Any] = {
        "last_sequence": _conversations.c.last_sequence + 1,
        "last_message_at": sa.func.clock_timestamp(),
    }
    if title:
        nameless = _conversations.c.title == ""
        values["title"] = sa.case((nameless, title), else_=_conversations.c.title)
        values["updated_version"] = sa.case(
            (nameless, _conversations.c.version + 1), else_=_conversations.c.updated_version
        )
    return await _next(tx, conversation_id, values)


async def _next(tx: WriteTransaction, conversation_id: UUID, values: dict[str, Any]) -> Place | None:
    statement = (
        sa.update(_conversations)
        .where(_conversations.c.tenant_id == tx.tenant_id, _conversations.c.id == conversation_id)
        .values(version=_conversations.c.version + 1, **values)
        .returning(_conversations.c.version, _conversations.c.last_sequence)
    )
    return await tx.first(Place, statement)


async def add_question(
    tx: WriteTransaction,
    *,
    conversation_id: UUID,
    author_id: UUID,
    text: str,
    title: str,
    idempotency_key: str | None,
    answer_id: UUID,
) -> StoredQuestion:
    """Store a question with its PENDING answer, of that id. `title` names a conversation that has no title yet.

    The conversation is held (`lock_own`). Raises IntegrityError when the person has used the key before.
    """
    place = await take_place(tx, conversation_id, title)
    assert place is not None, "it is held"
    message = Message(
        tenant_id=tx.tenant_id,
        conversation_id=conversation_id,
        sequence=place.sequence,
        version=place.version,
        role=MessageRole.USER,
        text=text,
        author_id=author_id,
        idempotency_key=idempotency_key,
    )
    tx.session.add(message)
    await tx.session.flush()
    answer = Answer(
        tenant_id=tx.tenant_id,
        id=answer_id,
        conversation_id=conversation_id,
        question_id=message.id,
        status=AnswerStatus.PENDING,
        turn=place.version,
        version=place.version,
    )
    tx.session.add(answer)
    await tx.session.flush()
    return StoredQuestion(message.id, answer_id, conversation_id, text)


async def history_before(reads: Reads, conversation_id: UUID, sequence: int, limit: int) -> list[MessageRecord]:
    """The last `limit` messages of what went before question number `sequence`, oldest first.

    Each question is followed by its selected answer, whatever the answer's own number: two questions that were sent
    at once are numbered before the first one's answer.
    """
    said = (
        sa.select(_messages.c.id, _messages.c.sequence.label("place"))
        .where(
            _messages.c.tenant_id == reads.tenant_id,
            _messages.c.conversation_id == conversation_id,
            _messages.c.sequence < sequence,
            _messages.c.answer_id.is_(None),
        )
        .order_by(_messages.c.sequence.desc())
        .limit(limit)
        .cte("said")
    )
    reply = _messages.alias("reply")
    answered = (
        sa.select(reply.c.id, said.c.place)
        .join(_answers, (_answers.c.tenant_id == reply.c.tenant_id) & (_answers.c.id == reply.c.answer_id))
        .join(said, said.c.id == _answers.c.question_id)
        .where(reply.c.tenant_id == reads.tenant_id, _answers.c.selected)
    )
    history = sa.union_all(sa.select(said.c.id, said.c.place), answered).subquery("history")
    statement = (
        select_record(MessageRecord)
        .join(history, history.c.id == _messages.c.id)
        .where(_messages.c.tenant_id == reads.tenant_id)
        # A question's number is lower than its answer's.
        .order_by(history.c.place.desc(), _messages.c.sequence.desc())
        .limit(limit)
    )
    return list(reversed(await reads.records(MessageRecord, statement)))
