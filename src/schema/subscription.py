"""The subscription root."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import strawberry

from core.ids import NodeKind, parse_id
from resolvers.answers import follow_answer
from resolvers.documents import follow_progress
from resolvers.follow_conversation import follow_conversation
from resolvers.follow_documents import follow_documents
from schema.answer_source import AnswerSource
from schema.conversation_events import ConversationEvent, conversation_events
from schema.document_events import DocumentsEvent, documents_events
from schema.enums import DocumentStatus
from schema.events import AnswerEvent
from schema.records import Info
from schema.types.knowledge import DocumentProgress


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="One answer from its beginning, or after a cursor, to its terminal event; then it completes."
    )
    async def answer(
        self,
        info: Info,
        id: strawberry.ID,
        after: Annotated[
            str | None, strawberry.argument(description="The cursor of the last event that was received.")
        ] = None,
    ) -> AsyncGenerator[AnswerEvent, None]:
        # What a browser says when it connects again is newer than what is written in the operation.
        viewer = await follow_answer(info.context, id, info.context.resume_after or after)
        source: Any = AnswerSource(parse_id(NodeKind.ANSWER, id), viewer, info.context)
        return source  # type: ignore[no-any-return]

    @strawberry.subscription(
        description="What happens in a conversation: a snapshot, or what came after a cursor, and then live, until the "
        "conversation is deleted."
    )
    async def conversation(
        self,
        info: Info,
        id: strawberry.ID,
        after: Annotated[
            str | None, strawberry.argument(description="The cursor of the last event that was received.")
        ] = None,
    ) -> AsyncGenerator[ConversationEvent, None]:
        conversation_id, changes = await follow_conversation(info.context, id, info.context.resume_after or after)
        return conversation_events(conversation_id, changes, info.context)

    @strawberry.subscription(
        description="The newest documents you may read, as `viewer { documents }` lists them, and then what changes in "
        "that list, for as long as you may read it. Whoever applies the events to the snapshot has what the query "
        "would give."
    )
    async def documents(
        self,
        info: Info,
        status: Annotated[
            list[DocumentStatus] | None, strawberry.argument(description="Only those of these statuses.")
        ] = None,
        first: Annotated[
            int | None, strawberry.argument(description="How many are followed: 1 to 100, 20 by default.")
        ] = None,
    ) -> AsyncGenerator[DocumentsEvent, None]:
        return documents_events(await follow_documents(info.context, status, first))

    @strawberry.subscription(
        description="From where the document stands now to READY, FAILED or CANCELLED; then it completes."
    )
    async def document_progress(self, info: Info, id: strawberry.ID) -> AsyncGenerator[DocumentProgress, None]:
        progress: Any = await follow_progress(info.context, id)
        return progress  # type: ignore[no-any-return]
