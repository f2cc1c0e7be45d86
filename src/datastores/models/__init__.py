"""The tables. Entities are for writes; reads select the slotted records of `datastores.records`."""

from sqlmodel import SQLModel

from datastores.models.accounts import Invitation, OneTimeToken, TokenPurpose
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
from datastores.models.knowledge import (
    Chunk,
    Document,
    DocumentPage,
    DocumentStatus,
    Embedding,
    Reembedding,
    ReembeddingStatus,
)
from datastores.models.outbox import OutboxEntry
from datastores.models.people import Assistant, AssistantDocument, DocumentScope, Role, Tenant, User
from datastores.models.producers import AnswerProducer
from datastores.models.prompts import Prompt, PromptVersion
from datastores.models.provider_keys import ProviderKey
from datastores.models.trusted import TrustedDocument

metadata = SQLModel.metadata

__all__ = [
    "Answer",
    "AnswerAttempt",
    "AnswerProducer",
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
    "Invitation",
    "Message",
    "MessageRole",
    "OneTimeToken",
    "OutboxEntry",
    "Prompt",
    "PromptVersion",
    "ProviderKey",
    "Reembedding",
    "ReembeddingStatus",
    "RefreshToken",
    "RevocationReason",
    "Role",
    "Session",
    "Tenant",
    "TokenPurpose",
    "TrustedDocument",
    "User",
    "metadata",
]
