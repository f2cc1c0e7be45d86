"""The events of a conversation as clients see them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

import strawberry

from core.ids import NodeKind, to_global
from datastores import conversation_changes as changes
from datastores.records import AnswerRecord, ConversationRecord, MessageRecord
from resolvers.context import Context
from schema.interfaces import ConversationStreamEvent
from schema.types.chat import Answer, Conversation, Message


@strawberry.type(
    description="How the conversation stands: the first event without `after`, and whenever what was missed is too "
    "much or not known any more. It takes the place of everything received before."
)
class ConversationSnapshot(ConversationStreamEvent):
    cursor: str
    conversation: Conversation
    messages: list[Message] = strawberry.field(
        description="The newest 100, oldest first. Later ones come as MessageAdded; `conversation { messages }` may "
        "show some of those already."
    )
    has_earlier_messages: bool


@strawberry.type(description="A message was added behind all others.")
class MessageAdded(ConversationStreamEvent):
    cursor: str
    message: Message


@strawberry.type(
    description="An answer as it stands now: asked for, begun, ended, or selected. Several changes at once may come as "
    "one. For its text follow `subscription answer`."
)
class AnswerChanged(ConversationStreamEvent):
    cursor: str
    answer: Answer


@strawberry.type(description="The conversation's own fields have changed, such as its title.")
class ConversationUpdated(ConversationStreamEvent):
    cursor: str
    conversation: Conversation


@strawberry.type(description="The last event: the conversation was deleted.")
class ConversationDeleted(ConversationStreamEvent):
    cursor: str
    conversation_id: strawberry.ID


ConversationEvent = Annotated[
    ConversationSnapshot | MessageAdded | AnswerChanged | ConversationUpdated | ConversationDeleted,
    strawberry.union("ConversationEvent"),
]


async def conversation_events(
    conversation_id: UUID, found: AsyncGenerator[changes.Change, None], context: Context
) -> AsyncGenerator[Any, None]:
    """The GraphQL events for changes; `context`, of the operation, knows the place after each."""
    async with aclosing(found):
        async for change in found:
            context.cursor = changes.encode_place(conversation_id, change.place)
            yield _as_event(change.body, context.cursor)


def _as_event(body: Any, cursor: str) -> Any:
    match body:
        case changes.Snapshot():
            return ConversationSnapshot(
                cursor=cursor,
                conversation=body.conversation,  # type: ignore[arg-type]
                messages=body.messages,  # type: ignore[arg-type]
                has_earlier_messages=body.has_earlier,
            )
        case MessageRecord():
            return MessageAdded(cursor=cursor, message=body)  # type: ignore[arg-type]
        case AnswerRecord():
            return AnswerChanged(cursor=cursor, answer=body)  # type: ignore[arg-type]
        case ConversationRecord():
            return ConversationUpdated(cursor=cursor, conversation=body)  # type: ignore[arg-type]
        case _:
            deleted = strawberry.ID(to_global(NodeKind.CONVERSATION, body.conversation_id))
            return ConversationDeleted(cursor=cursor, conversation_id=deleted)
