"""Mutations: conversations and messages."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from datastores.records import ConversationRecord
from resolvers import conversations
from schema.errors import IdempotencyConflict, InsufficientCredits, InvalidInput, NotFound, RateLimited
from schema.records import Info
from schema.types.chat import Answer, Conversation, Message


@strawberry.input
class StartConversationInput:
    assistant_id: strawberry.ID | None = strawberry.field(
        default=None, description="By default the organisation's first assistant."
    )
    title: str | None = strawberry.field(
        default=None, description="At most 200 printable characters; by default taken from the first question."
    )


@strawberry.input
class SendMessageInput:
    conversation_id: strawberry.ID
    text: str = strawberry.field(description="1 to 10,000 characters, unless the server is set up otherwise.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="1 to 200 characters. Sending again with the same key gives the same message."
    )


@strawberry.type
class StartConversationPayload:
    conversation: Conversation


@strawberry.type
class SendMessagePayload:
    message: Message = strawberry.field(
        description="The stored question. In one selection with `UserError.message`, which is a text, one of the two "
        "needs an alias: `reason: message`."
    )
    answer: Answer | None = strawberry.field(
        description="Follow it with `subscription answer`. Null where no machine answers."
    )


StartConversationResult = Annotated[
    StartConversationPayload | NotFound | InvalidInput, strawberry.union("StartConversationResult")
]
SendMessageResult = Annotated[
    SendMessagePayload | NotFound | InvalidInput | RateLimited | IdempotencyConflict | InsufficientCredits,
    strawberry.union("SendMessageResult"),
]


@strawberry.type
class MessageMutations:
    @strawberry.mutation(description="Begin a conversation with an assistant.")
    async def start_conversation(self, info: Info, input: StartConversationInput) -> StartConversationResult:
        result: Any = await conversations.start_conversation(
            info.context, assistant_id=input.assistant_id, title=input.title
        )
        started = type(result) is ConversationRecord
        return StartConversationPayload(conversation=result) if started else result

    @strawberry.mutation(
        description="Ask a question. Returns at once; the answer is produced whether or not anybody follows it."
    )
    async def send_message(self, info: Info, input: SendMessageInput) -> SendMessageResult:
        result: Any = await conversations.send_message(
            info.context,
            conversation_id=input.conversation_id,
            text=input.text,
            idempotency_key=input.idempotency_key,
        )
        if isinstance(result, conversations.Sent):
            sent: Any = result
            return SendMessagePayload(message=sent.message, answer=sent.answer)
        return result  # type: ignore[no-any-return]
