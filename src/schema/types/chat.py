"""Conversations, messages, answers and citations."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import strawberry

from core.ids import NodeKind
from datastores import records
from resolvers.arguments import message_page
from schema.connections import ConnectionRecord, EdgeRecord, PageInfo, edge_cursor, message_cursor
from schema.enums import AnswerStatus, Channel, HandoffState, MessageRole
from schema.interfaces import Node
from schema.limits.price import LOADED_LIST, PRICE
from schema.records import Info, backed_by, computed, global_id, relation
from schema.types.failure import Failure, failure_of
from schema.types.knowledge import Chunk, Document
from schema.types.people import Assistant, User


async def _messages(
    root: Any,
    info: Info,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> MessageConnection:
    request = message_page(root.id, first, after, last, before)
    page = await info.context.loaders.messages_of_conversations.load((root.id, request))
    return ConnectionRecord(page, message_cursor)  # type: ignore[return-value]


@backed_by(records.ConversationRecord, description="A person's conversation with one assistant.")
class Conversation(Node):
    id: strawberry.ID = global_id(NodeKind.CONVERSATION)
    title: str
    owner: User | None = relation("users", "owner_id")
    assistant: Assistant = relation("assistants", "assistant_id")
    channel: Channel
    handoff_state: HandoffState
    created_at: datetime
    last_message_at: datetime
    messages: MessageConnection = strawberry.field(
        resolver=_messages,
        description="In order. 1 to 100 a page, 20 by default; `last` and `before` page backwards.",
        metadata={PRICE: LOADED_LIST},
    )


@backed_by(records.MessageRecord, description="One message of a conversation.")
class Message(Node):
    id: strawberry.ID = global_id(NodeKind.MESSAGE)
    conversation: Conversation = relation("conversations", "conversation_id")
    role: MessageRole
    text: str
    author: User | None = relation("users", "author_id", "Null for messages of the machine.")
    created_at: datetime
    answer: Answer | None = relation(
        "answers_of_messages",
        "answer_key",
        "Of an ASSISTANT message, the answer that produced it; of a USER message, its selected or newest answer.",
    )
    answers: list[Answer] = relation(
        "answers_by_question", "id", "Of a USER message, every answer to it, oldest first."
    )


def _usage(record: Any) -> Usage | None:
    if record.input_tokens is None or record.output_tokens is None or record.total_ms is None:
        return None
    return Usage(
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cost=record.cost,
        first_token_ms=record.first_token_ms,
        total_ms=record.total_ms,
        cached=record.cached,
    )


@backed_by(records.AnswerRecord, description="One answer to one question.")
class Answer(Node):
    id: strawberry.ID = global_id(NodeKind.ANSWER)
    status: AnswerStatus
    question: Message = relation("messages", "question_id")
    message: Message | None = relation("messages_by_answer", "id", "Set when the answer has finished with any text.")
    citations: list[Citation] = relation("citations_by_answer", "id", "In order of their markers.")
    usage: Usage | None = computed(_usage, "Null until finished, and where the provider does not count.")
    failure: Failure | None = computed(failure_of)
    model: str | None
    attempt: int = computed(lambda record: record.epoch, "0 until work on it has begun; then counts from 1.")
    selected: bool = strawberry.field(description="Whether the conversation's history uses this answer.")
    created_at: datetime
    finished_at: datetime | None


@strawberry.type(description="What an answer took.")
class Usage:
    input_tokens: int
    output_tokens: int
    cost: Decimal | None = strawberry.field(
        description="In US dollars. 0 where nobody was asked (`cached`); null where the model's price is not known."
    )
    first_token_ms: int | None
    total_ms: int
    cached: bool


@backed_by(records.CitationRecord, description="The source of a marker `[n]`.")
class Citation:
    marker: int = strawberry.field(description="The [n] in the text.")
    chunk: Chunk | None = relation("chunks", "chunk_id", "Null once its document is gone.")
    document: Document | None = relation("documents", "document_id", "Null once it is gone.")
    document_name: str = strawberry.field(description="Stored: it outlives the document.")
    page: int | None
    quote: str = strawberry.field(description="An exact substring of the chunk. Stored: it outlives the document.")
    distance: float = strawberry.field(description="Cosine distance of the chunk to the question.")
    start: int | None = strawberry.field(
        description="Where the quote begins in the text of its page, in Unicode code points. Null in old answers."
    )
    end: int | None = strawberry.field(description="Where it ends. Null in old answers.")


@backed_by(EdgeRecord, name="MessageEdge")
class MessageEdge:
    cursor: str = edge_cursor()
    node: Message


@backed_by(ConnectionRecord, name="MessageConnection")
class MessageConnection:
    edges: list[MessageEdge]
    nodes: list[Message]
    page_info: PageInfo


@backed_by(EdgeRecord, name="ConversationEdge")
class ConversationEdge:
    cursor: str = edge_cursor()
    node: Conversation


@backed_by(ConnectionRecord, name="ConversationConnection")
class ConversationConnection:
    edges: list[ConversationEdge]
    nodes: list[Conversation]
    page_info: PageInfo
