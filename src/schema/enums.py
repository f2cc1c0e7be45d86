"""The enums of the schema: the same classes that are stored, made known to GraphQL here."""

import strawberry

from core.errors import ErrorCode
from datastores.answer_events import AnswerStepKind
from datastores.models import (
    AnswerStatus,
    AuditOutcome,
    Channel,
    DocumentScope,
    DocumentStatus,
    HandoffState,
    MessageRole,
    ReembeddingStatus,
    Role,
)
from providers.circuits import CircuitState
from resolvers.results import QuotaKind

__all__ = [
    "AnswerStatus",
    "AnswerStepKind",
    "AuditOutcome",
    "Channel",
    "CircuitState",
    "DocumentScope",
    "DocumentStatus",
    "ErrorCode",
    "HandoffState",
    "MessageRole",
    "QuotaKind",
    "ReembeddingStatus",
    "Role",
]

strawberry.enum(CircuitState, description="Whether a provider is asked.")
strawberry.enum(ErrorCode, description="What went wrong, in words that a client may act on.")
strawberry.enum(Role, description="What a person may do, weakest first.")
strawberry.enum(MessageRole, description="Who speaks in a message.")
strawberry.enum(AnswerStatus, description="Where an answer stands. COMPLETED, STOPPED and FAILED are final.")
strawberry.enum(
    DocumentStatus, description="Where a document stands. READY means searchable; READY, FAILED, CANCELLED are final."
)
strawberry.enum(
    ReembeddingStatus,
    description="Where the way of all documents into another vector space stands. All but RUNNING are final.",
)
strawberry.enum(AnswerStepKind, description="What happens before and between an answer's words.")
strawberry.enum(
    DocumentScope,
    description="Which documents an assistant draws on: all of the organisation's, or those that are assigned to it.",
)
strawberry.enum(QuotaKind, description="What an organisation may keep so much of.")
strawberry.enum(Channel, description="Where a conversation takes place.")
strawberry.enum(HandoffState, description="Who answers: the machine, or an operator.")
strawberry.enum(
    AuditOutcome,
    description="What became of an act. DENIED: not signed in, not with this role, or with wrong credentials. REFUSED: "
    "allowed, but not as it was asked for. FAILED: by a fault of ours.",
)
