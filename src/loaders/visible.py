"""Objects by id as the person may see them: the check is part of the SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from datastores.answers import own_answers
from datastores.conversations import own_conversations, own_messages
from datastores.knowledge import readable_chunks, readable_documents
from datastores.people import assistants_by_id, users_by_id
from datastores.records import (
    AnswerRecord,
    AssistantRecord,
    ChunkRecord,
    ConversationRecord,
    DocumentRecord,
    MessageRecord,
    UserRecord,
)
from datastores.transactions import Reads

R = TypeVar("R")


class Visible(DataLoader[UUID, R | None], Generic[R]):
    """Records by id; None for one that is gone or that the person may not see."""

    def __init__(self, load: Callable[[Sequence[UUID]], Awaitable[list[R]]]) -> None:
        super().__init__(self._in_order)
        self._find = load

    async def _in_order(self, ids: Sequence[UUID]) -> list[R | None]:
        found: dict[UUID, R] = {row.id: row for row in await self._find(ids)}  # type: ignore[attr-defined]
        return [found.get(key) for key in ids]


def own_conversations_loader(reads: Reads, person: UserRecord) -> Visible[ConversationRecord]:
    """Conversations of the person's own."""
    return Visible(lambda ids: own_conversations(reads, person.id, ids))


def own_messages_loader(reads: Reads, person: UserRecord) -> Visible[MessageRecord]:
    """Messages in conversations of the person's own."""
    return Visible(lambda ids: own_messages(reads, person.id, ids))


def own_answers_loader(reads: Reads, person: UserRecord) -> Visible[AnswerRecord]:
    """Answers in conversations of the person's own."""
    return Visible(lambda ids: own_answers(reads, person.id, ids))


def readable_documents_loader(reads: Reads, person: UserRecord) -> Visible[DocumentRecord]:
    """Documents within the person's scope."""
    return Visible(lambda ids: readable_documents(reads, person, ids))


def readable_chunks_loader(reads: Reads, person: UserRecord) -> Visible[ChunkRecord]:
    """Chunks of documents within the person's scope."""
    return Visible(lambda ids: readable_chunks(reads, person, ids))


def assistants_loader(reads: Reads) -> Visible[AssistantRecord]:
    """The tenant's assistants: whoever is in the tenant may use them."""
    return Visible(lambda ids: assistants_by_id(reads, ids))


def people_loader(reads: Reads, person: UserRecord) -> Visible[UserRecord]:
    """People of the tenant; a USER sees only itself."""

    async def find(ids: Sequence[UUID]) -> list[UserRecord]:
        others = [key for key in ids if key != person.id and person.role.sees_colleagues]
        return [person, *(await users_by_id(reads, others) if others else ())]

    return Visible(find)
