"""Conversations, messages, answers with their attempts and citations."""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field

from core.errors import ErrorCode
from datastores.models.base import TenantRow, moment, tenant_key, text_enum


class Channel(enum.Enum):
    """Where a conversation takes place."""

    WEB = "WEB"
    API = "API"
    TELEGRAM = "TELEGRAM"


class HandoffState(enum.Enum):
    """Who answers: the machine, or an operator."""

    BOT = "BOT"
    WAITING = "WAITING"
    WITH_OPERATOR = "WITH_OPERATOR"
    CLOSED = "CLOSED"


class MessageRole(enum.Enum):
    """Who speaks in a message."""

    USER = "USER"
    ASSISTANT = "ASSISTANT"
    OPERATOR = "OPERATOR"
    SYSTEM = "SYSTEM"


class AnswerStatus(enum.Enum):
    """Where an answer stands. COMPLETED, STOPPED and FAILED are final."""

    PENDING = "PENDING"
    STREAMING = "STREAMING"
    COMPLETED = "COMPLETED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


class Conversation(TenantRow, table=True):
    """A person's conversation with one assistant. `last_sequence` numbers its messages.

    `version` goes up by one with each change of what is in it; whoever changes it holds the row until the commit, so
    versions are seen in their order. Messages and answers carry the version of their last change.
    """

    __tablename__ = "conversations"
    __table_args__ = (
        tenant_key("owner_id", "users"),
        tenant_key("assistant_id", "assistants"),
        sa.Index(None, "tenant_id", "owner_id", "last_message_at", "id"),
    )

    owner_id: UUID
    assistant_id: UUID
    title: str
    channel: Channel = Field(default=Channel.WEB, sa_type=text_enum(Channel))
    handoff_state: HandoffState = Field(default=HandoffState.BOT, sa_type=text_enum(HandoffState))
    last_sequence: int = 0
    version: int = Field(default=0, sa_type=sa.BigInteger)
    updated_version: int = Field(default=0, sa_type=sa.BigInteger)
    """When its own fields were changed last."""
    last_message_at: datetime = moment()
    created_at: datetime = moment()


class Message(TenantRow, table=True):
    """One message. Partitioned by hash of the tenant; the answer stream ends in a row here."""

    __tablename__ = "messages"
    __table_args__ = (
        tenant_key("conversation_id", "conversations"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "author_id"], ["users.tenant_id", "users.id"], ondelete="SET NULL (author_id)"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "answer_id"], ["answers.tenant_id", "answers.id"], ondelete="CASCADE", use_alter=True
        ),
        sa.UniqueConstraint("tenant_id", "conversation_id", "sequence"),
        sa.UniqueConstraint("tenant_id", "author_id", "idempotency_key"),
        sa.Index(None, "tenant_id", "answer_id"),
        sa.Index(None, "tenant_id", "conversation_id", "version"),
        {"postgresql_partition_by": "HASH (tenant_id)"},
    )

    conversation_id: UUID
    sequence: int
    role: MessageRole = Field(sa_type=text_enum(MessageRole))
    text: str
    author_id: UUID | None = None
    answer_id: UUID | None = None
    """Of an ASSISTANT message, the answer that produced it."""
    idempotency_key: str | None = None
    version: int = Field(sa_type=sa.BigInteger)
    created_at: datetime = moment()


class Answer(TenantRow, table=True):
    """One answer to one question. `epoch` is the attempt that owns it; only its owner may write.

    Of a question's answers exactly one is `selected`: the one that the conversation's history uses.
    """

    __tablename__ = "answers"
    __table_args__ = (
        tenant_key("conversation_id", "conversations"),
        tenant_key("question_id", "messages"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "requested_by_id"], ["users.tenant_id", "users.id"], ondelete="SET NULL (requested_by_id)"
        ),
        sa.UniqueConstraint("tenant_id", "requested_by_id", "idempotency_key"),
        sa.Index(None, "tenant_id", "question_id"),
        sa.Index("uq_answers_selected", "tenant_id", "question_id", unique=True, postgresql_where=sa.text("selected")),
        sa.Index(None, "tenant_id", "conversation_id", "version"),
        sa.Index("ix_answers_unfinished", "created_at", postgresql_where=sa.text("status IN ('PENDING', 'STREAMING')")),
    )

    conversation_id: UUID
    question_id: UUID
    status: AnswerStatus = Field(default=AnswerStatus.PENDING, sa_type=text_enum(AnswerStatus))
    epoch: int = 0
    turn: int = Field(sa_type=sa.BigInteger)
    """The conversation's version when it was asked for: its answers are produced in this order."""
    version: int = Field(sa_type=sa.BigInteger)
    selected: bool = True
    stop_requested_at: datetime | None = moment(nullable=True)
    """When a person asked to stop it. Its producer is told by Redis, and finds it here where that did not reach it."""
    producer_id: UUID | None = None
    """The process that has begun it; None: nobody has, or one of a version without names."""
    requested_by_id: UUID | None = None
    """Of one that a person asked for again, who that was."""
    idempotency_key: str | None = None
    """The key that it was asked for again with."""
    provider: str | None = None
    model: str | None = None
    failure_code: ErrorCode | None = Field(default=None, sa_type=text_enum(ErrorCode))
    failure_message: str | None = None
    failure_retryable: bool | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = Field(default=None, sa_type=sa.Numeric(18, 9))
    first_token_ms: int | None = None
    total_ms: int | None = None
    cached: bool = False
    created_at: datetime = moment()
    finished_at: datetime | None = moment(nullable=True)


class AnswerAttempt(TenantRow, table=True):
    """One try at an answer: one row per epoch or fallback."""

    __tablename__ = "answer_attempts"
    __table_args__ = (
        tenant_key("answer_id", "answers"),
        sa.UniqueConstraint("tenant_id", "answer_id", "epoch", "ordinal"),
    )

    answer_id: UUID
    epoch: int
    ordinal: int = 1
    """Counts the providers tried within an epoch."""
    provider: str
    model: str
    finish_reason: str | None = None
    failure_code: ErrorCode | None = Field(default=None, sa_type=text_enum(ErrorCode))
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = Field(default=None, sa_type=sa.Numeric(18, 9))
    first_token_ms: int | None = None
    total_ms: int | None = None
    started_at: datetime = moment()
    finished_at: datetime | None = moment(nullable=True)


class Citation(TenantRow, table=True):
    """The source of a marker `[n]`. Quote and document name are stored, so that they outlive the document."""

    __tablename__ = "citations"
    __table_args__ = (
        tenant_key("answer_id", "answers"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "chunk_id"], ["chunks.tenant_id", "chunks.id"], ondelete="SET NULL (chunk_id)"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="SET NULL (document_id)"
        ),
        sa.UniqueConstraint("tenant_id", "answer_id", "marker"),
        sa.Index(None, "tenant_id", "chunk_id"),
        sa.Index(None, "tenant_id", "document_id"),
    )

    answer_id: UUID
    marker: int
    chunk_id: UUID | None = None
    document_id: UUID | None = None
    document_name: str
    page: int | None = None
    quote: str
    distance: float
    start: int | None = None
    """Of the quote in its page's text, in code points; None of those that were stored without it."""
    end: int | None = None
