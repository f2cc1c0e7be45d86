"""Conversations and their messages. Numbers are taken in the message's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningUpdate

from datastores.models import Answer, Conversation, Message
from datastores.pages import Page, PageRequest, keyset_page
from datastores.records import ConversationRecord, MessageRecord, select_record, table
from datastores.transactions import Reads, WriteTransaction

_conversations, _messages, _answers = table(Conversation), table(Message), table(Answer)
# Statements are built once: to build one takes SQLAlchemy several times what it takes to run it.
_TENANT: sa.BindParameter[Any] = sa.bindparam("tenant_id")
_OWNER: sa.BindParameter[Any] = sa.bindparam("owner_id")
_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)

_OWN_CONVERSATIONS = select_record(ConversationRecord).where(
    _conversations.c.tenant_id == _TENANT, _conversations.c.id.in_(_IDS), _conversations.c.owner_id == _OWNER
)
_OWN_MESSAGES = (
    select_record(MessageRecord)
    .join(
        _conversations,
        (_conversations.c.tenant_id == _messages.c.tenant_id) & (_conversations.c.id == _messages.c.conversation_id),
    )
    .where(_messages.c.tenant_id == _TENANT, _messages.c.id.in_(_IDS), _conversations.c.owner_id == _OWNER)
)
# Named otherwise than the columns: a value for a column's name would be set by an UPDATE.
_HELD = sa.and_(
    _conversations.c.tenant_id == sa.bindparam("of_tenant"), _conversations.c.id == sa.bindparam("conversation")
)
_LOCK_OWN = (
    sa.select(_conversations.c.id).where(_HELD, _conversations.c.owner_id == _OWNER).with_for_update(key_share=True)
)


def next_version(conversation: sa.ColumnElement[bool], **values: Any) -> ReturningUpdate[tuple[int, int]]:
    """A change of the conversation that meets the condition, which gives its new version and its newest number."""
    return (
        sa.update(_conversations)
        .where(conversation)
        .values(version=_conversations.c.version + 1, **values)
        .returning(_conversations.c.version, _conversations.c.last_sequence)
    )


NEXT_MESSAGE: Final[dict[str, Any]] = {
    "last_sequence": _conversations.c.last_sequence + 1,
    "last_message_at": sa.func.clock_timestamp(),
}
"""What a message changes in its conversation besides the version."""
_NOTE_CHANGE = next_version(_HELD)
_TAKE_PLACE = next_version(_HELD, **NEXT_MESSAGE)


def _history() -> sa.Select[Any]:
    said = (
        sa.select(_messages.c.id, _messages.c.sequence.label("place"))
        .where(
            _messages.c.tenant_id == _TENANT,
            _messages.c.conversation_id == sa.bindparam("conversation_id"),
            _messages.c.sequence < sa.bindparam("number"),
            _messages.c.answer_id.is_(None),
        )
        .order_by(_messages.c.sequence.desc())
        .limit(sa.bindparam("most"))
        .cte("said")
    )
    reply = _messages.alias("reply")
    answered = (
        sa.select(reply.c.id, said.c.place)
        .join(_answers, (_answers.c.tenant_id == reply.c.tenant_id) & (_answers.c.id == reply.c.answer_id))
        .join(said, said.c.id == _answers.c.question_id)
        .where(reply.c.tenant_id == _TENANT, _answers.c.selected)
    )
    history = sa.union_all(sa.select(said.c.id, said.c.place), answered).subquery("history")
    return (
        select_record(MessageRecord)
        .join(history, history.c.id == _messages.c.id)
        .where(_messages.c.tenant_id == _TENANT)
        # A question's number is lower than its answer's.
        .order_by(history.c.place.desc(), _messages.c.sequence.desc())
        .limit(sa.bindparam("most"))
    )


def _history_length() -> sa.Select[Any]:
    question = _messages.alias("question")
    before = sa.and_(
        question.c.tenant_id == _TENANT,
        question.c.conversation_id == sa.bindparam("conversation_id"),
        question.c.sequence < sa.bindparam("number"),
        question.c.answer_id.is_(None),
    )
    replies = (
        sa.select(sa.func.count())
        .select_from(question)
        .join(_answers, (_answers.c.tenant_id == question.c.tenant_id) & (_answers.c.question_id == question.c.id))
        .join(_messages, (_messages.c.tenant_id == _answers.c.tenant_id) & (_messages.c.answer_id == _answers.c.id))
        .where(before, _answers.c.selected)
    )
    questions = sa.select(sa.func.count()).select_from(question).where(before)
    return sa.select(questions.scalar_subquery() + replies.scalar_subquery())


_HISTORY, _HISTORY_LENGTH = _history(), _history_length()


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
    values = {"tenant_id": reads.tenant_id, "ids": ids, "owner_id": owner_id}
    return await reads.records(ConversationRecord, _OWN_CONVERSATIONS, values)


async def own_messages(reads: Reads, owner_id: UUID, ids: Sequence[UUID]) -> list[MessageRecord]:
    """Those of the messages that stand in conversations of this person's, in no order."""
    values = {"tenant_id": reads.tenant_id, "ids": ids, "owner_id": owner_id}
    return await reads.records(MessageRecord, _OWN_MESSAGES, values)


async def lock_own(tx: WriteTransaction, owner_id: UUID, conversation_id: UUID) -> bool:
    """Hold the conversation until the transaction's end; False where it is not this person's.

    Whoever changes a conversation, its messages or its answers holds its row before any of theirs: there is one order
    of locks, and so no deadlock.
    """
    values = {"of_tenant": tx.tenant_id, "conversation": conversation_id, "owner_id": owner_id}
    return await tx.scalar(_LOCK_OWN, values) is not None


@dataclass(slots=True)
class Place:
    """Where a change stands: the conversation's version, and the number of its newest message."""

    version: int
    sequence: int


async def note_change(tx: WriteTransaction, conversation_id: UUID) -> Place | None:
    """The version for a change that is no message. Holds the conversation's row. None: it is gone."""
    return await tx.first(Place, _NOTE_CHANGE, {"of_tenant": tx.tenant_id, "conversation": conversation_id})


async def take_place(tx: WriteTransaction, conversation_id: UUID) -> Place | None:
    """The next message's number and version. Holds the conversation's row, so that messages are stored in their order.

    None: the conversation is gone.
    """
    return await tx.first(Place, _TAKE_PLACE, {"of_tenant": tx.tenant_id, "conversation": conversation_id})


async def history_before(reads: Reads, conversation_id: UUID, sequence: int, limit: int) -> list[MessageRecord]:
    """The last `limit` messages of what went before question number `sequence`, oldest first.

    Each question is followed by its selected answer, whatever the answer's own number: two questions that were sent
    at once are numbered before the first one's answer.
    """
    values = {"tenant_id": reads.tenant_id, "conversation_id": conversation_id, "number": sequence, "most": limit}
    return list(reversed(await reads.records(MessageRecord, _HISTORY, values)))


async def history_length(reads: Reads, conversation_id: UUID, sequence: int) -> int:
    """How many messages `history_before` would find without a limit."""
    values = {"tenant_id": reads.tenant_id, "conversation_id": conversation_id, "number": sequence}
    return int(await reads.scalar(_HISTORY_LENGTH, values) or 0)
