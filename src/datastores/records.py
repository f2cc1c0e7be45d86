"""What reads return: slotted records, selected column by column. Field order is column order.

Entities (`datastores.models`) are for writes alone: on a large page they cost several times what records cost.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import SQLModel

from core.errors import ErrorCode
from datastores import models
from datastores.models import (
    AnswerStatus,
    AuditOutcome,
    Channel,
    DocumentScope,
    DocumentStatus,
    HandoffState,
    MessageRole,
    Role,
)


@dataclass(slots=True)
class TenantRecord:
    id: UUID
    name: str
    embedding_model_id: str
    keep_originals: bool
    created_at: datetime
    suspended_at: datetime | None


@dataclass(slots=True)
class UserRecord:
    id: UUID
    tenant_id: UUID
    name: str
    email: str
    role: Role
    created_at: datetime
    suspended_at: datetime | None
    email_verified_at: datetime | None


@dataclass(slots=True)
class InvitationRecord:
    id: UUID
    email: str
    name: str | None
    role: Role
    invited_by_id: UUID
    created_at: datetime
    expires_at: datetime


@dataclass(slots=True)
class SessionRecord:
    id: UUID
    device: str
    address: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime


@dataclass(slots=True)
class ApiKeyRecord:
    id: UUID
    user_id: UUID
    name: str
    role: Role
    hint: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(slots=True)
class ProviderKeyRecord:
    id: UUID
    provider: str
    hint: str
    set_at: datetime


@dataclass(slots=True)
class PromptVersionRecord:
    id: UUID
    number: int
    text: str
    shipped: bool
    created_at: datetime


@dataclass(slots=True)
class AuditRecord:
    id: UUID
    tenant_id: UUID
    at: datetime
    actor_id: UUID | None
    session_id: UUID | None
    api_key_id: UUID | None
    action: str
    targets: list[str]
    address: str
    outcome: AuditOutcome
    code: str | None
    request_id: str
    details: dict[str, Any]


@dataclass(slots=True)
class AssistantRecord:
    id: UUID
    name: str
    instructions: str
    prompt_id: UUID | None
    prompt_version: int | None
    language: str | None
    provider: str | None
    model: str | None
    fallback_providers: list[str] | None
    temperature: float
    context_tokens: int | None
    cache_answers: bool
    document_scope: DocumentScope
    created_at: datetime

    @property
    def assigned_to(self) -> UUID | None:
        """The assistant itself where its assigned documents alone are searched; None: all are."""
        return None if self.document_scope is DocumentScope.ALL else self.id


@dataclass(slots=True)
class DocumentRecord:
    id: UUID
    tenant_id: UUID
    name: str
    content_type: str
    byte_size: int
    stored: bool
    status: DocumentStatus
    page_count: int | None
    pages_done: int
    pages_total: int | None
    chunks_done: int
    chunks_total: int | None
    failure_code: ErrorCode | None
    failure_message: str | None
    failure_retryable: bool | None
    uploaded_by_id: UUID | None
    created_at: datetime


@dataclass(slots=True)
class DocumentPageRecord:
    id: UUID
    document_id: UUID
    number: int
    text: str


@dataclass(slots=True)
class ChunkRecord:
    id: UUID
    document_id: UUID
    ordinal: int
    page: int | None
    text: str
    start: int
    end: int


@dataclass(slots=True)
class ConversationRecord:
    id: UUID
    owner_id: UUID
    assistant_id: UUID
    title: str
    channel: Channel
    handoff_state: HandoffState
    created_at: datetime
    last_message_at: datetime


@dataclass(slots=True)
class MessageRecord:
    id: UUID
    conversation_id: UUID
    sequence: int
    role: MessageRole
    text: str
    author_id: UUID | None
    answer_id: UUID | None
    created_at: datetime

    @property
    def answer_key(self) -> tuple[UUID, UUID | None]:
        """What finds the message's answer: see `loaders.chat.AnswersOfMessages`."""
        return self.id, self.answer_id


@dataclass(slots=True)
class AnswerRecord:
    id: UUID
    conversation_id: UUID
    question_id: UUID
    status: AnswerStatus
    epoch: int
    selected: bool
    model: str | None
    failure_code: ErrorCode | None
    failure_message: str | None
    failure_retryable: bool | None
    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None
    first_token_ms: int | None
    total_ms: int | None
    cached: bool
    created_at: datetime
    finished_at: datetime | None


@dataclass(slots=True)
class CitationRecord:
    answer_id: UUID
    marker: int
    chunk_id: UUID | None
    document_id: UUID | None
    document_name: str
    page: int | None
    quote: str
    distance: float
    start: int | None
    """Where the quote begins in its page's text, in code points; None of citations that did not write it down."""
    end: int | None


@dataclass(slots=True)
class ReembeddingRecord:
    model_id: str
    status: models.ReembeddingStatus
    chunks_done: int
    chunks_total: int
    failure_code: ErrorCode | None
    failure_message: str | None
    failure_retryable: bool | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(slots=True)
class PassageRecord:
    """A chunk that retrieval found. `score` is the fused reciprocal rank, or a reranker's: higher is better."""

    chunk_id: UUID
    document_id: UUID
    document_name: str
    page: int | None
    text: str
    ordinal: int
    """Its place in the document, from 0."""
    start: int
    """Where it begins in its page's text, in code points."""
    distance: float
    score: float


_MODELS: dict[type[Any], type[SQLModel]] = {
    TenantRecord: models.Tenant,
    UserRecord: models.User,
    InvitationRecord: models.Invitation,
    SessionRecord: models.Session,
    ApiKeyRecord: models.ApiKey,
    PromptVersionRecord: models.PromptVersion,
    ProviderKeyRecord: models.ProviderKey,
    AuditRecord: models.AuditEntry,
    AssistantRecord: models.Assistant,
    DocumentRecord: models.Document,
    DocumentPageRecord: models.DocumentPage,
    ChunkRecord: models.Chunk,
    ConversationRecord: models.Conversation,
    MessageRecord: models.Message,
    AnswerRecord: models.Answer,
    CitationRecord: models.Citation,
    ReembeddingRecord: models.Reembedding,
}
_SELECTS: dict[type[Any], sa.Select[Any]] = {
    record: sa.select(*(model.__table__.c[field.name] for field in fields(record)))  # type: ignore[attr-defined]
    for record, model in _MODELS.items()
}


def values_of(record: Any) -> dict[str, Any]:
    """A record's fields by name, as they are: `dataclasses.asdict` copies what is in them, for fifty times as long."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def select_record(record: type[Any]) -> sa.Select[Any]:
    """`SELECT` of the record's columns from its table, to be narrowed by `where`."""
    return _SELECTS[record]


def table(model: type[SQLModel]) -> sa.Table:
    """The Core table of a model."""
    return model.__table__  # type: ignore[attr-defined,no-any-return]
