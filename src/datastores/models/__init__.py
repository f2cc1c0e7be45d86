"""The tables. Entities are for writes; reads select the slotted records of `datastores.records`."""

from sqlmodel import SQLModel

from datastores.models.audit import AuditEntry, AuditOutcome
from datastores.models.chat import (
    Answer,
    AnswerAttempt,
    AnswerStatus,
    Channel,
    Citation,
    Conversation,
    HandoffState,
    Message,
    MessageRole,
)
from datastores.models.identity import (
    ApiKey,
    RefreshToken,
    RevocationReason,
    Session,
)
from datastores.models.knowledge import Chunk, Document, DocumentPage, DocumentStatus, Embedding
from datastores.models.outbox import OutboxEntry
from datastores.models.people import Assistant, AssistantDocument, DocumentScope, Role, Tenant, User

metadata = SQLModel.metadata

__all__ = [
    "Answer",
    "AnswerAttempt",
    "AnswerStatus",
    "ApiKey",
    "Assistant",
    "AssistantDocument",
    "AuditEntry",
    "AuditOutcome",
    "Channel",
    "Chunk",
    "Citation",
    "Conversation",
    "Document",
    "DocumentPage",
    "DocumentScope",
    "DocumentStatus",
    "Embedding",
    "HandoffState",
    "Message",
    "MessageRole",
    "OutboxEntry",
    "RefreshToken",
    "RevocationReason",
    "Role",
    "Session",
    "Tenant",
    "User",
    "metadata",
]
