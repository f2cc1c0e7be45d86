"""The loaders of one operation: all on its one read transaction, each made when it is first asked for."""

from __future__ import annotations

from functools import cached_property

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
from loaders import visible
from loaders.chat import AnswersByQuestion, AnswersOfMessages, CitationsByAnswer, MessagesByAnswer
from loaders.messages_of_conversations import MessagesOfConversations
from loaders.pages_of_documents import PagesOfDocuments
from loaders.visible import Visible


class Loaders:
    """What a relation's declaration names (`schema.relations`)."""

    def __init__(self, reads: Reads, person: UserRecord, most_bytes: int) -> None:
        """`most_bytes` of text are read for a response."""
        self._reads = reads
        self._person = person
        self._most_bytes = most_bytes

    @cached_property
    def assistants(self) -> Visible[AssistantRecord]:
        return visible.assistants_loader(self._reads)

    @cached_property
    def conversations(self) -> Visible[ConversationRecord]:
        return visible.own_conversations_loader(self._reads, self._person)

    @cached_property
    def messages(self) -> Visible[MessageRecord]:
        return visible.own_messages_loader(self._reads, self._person)

    @cached_property
    def answers(self) -> Visible[AnswerRecord]:
        return visible.own_answers_loader(self._reads, self._person)

    @cached_property
    def users(self) -> Visible[UserRecord]:
        return visible.people_loader(self._reads, self._person)

    @cached_property
    def documents(self) -> Visible[DocumentRecord]:
        return visible.readable_documents_loader(self._reads, self._person)

    @cached_property
    def chunks(self) -> Visible[ChunkRecord]:
        return visible.readable_chunks_loader(self._reads, self._person)

    @cached_property
    def document_pages(self) -> PagesOfDocuments:
        return PagesOfDocuments(self._reads, self._most_bytes)

    @cached_property
    def answers_by_question(self) -> AnswersByQuestion:
        return AnswersByQuestion(self._reads)

    @cached_property
    def answers_of_messages(self) -> AnswersOfMessages:
        return AnswersOfMessages(self._reads)

    @cached_property
    def messages_by_answer(self) -> MessagesByAnswer:
        return MessagesByAnswer(self._reads)

    @cached_property
    def citations_by_answer(self) -> CitationsByAnswer:
        return CitationsByAnswer(self._reads)

    @cached_property
    def messages_of_conversations(self) -> MessagesOfConversations:
        return MessagesOfConversations(self._reads)
