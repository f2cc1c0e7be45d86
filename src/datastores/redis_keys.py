"""Every Redis key and channel, built here and nowhere else.

All carry their tenant but those of the queues, of the rates, and of the processes among themselves.
"""

from __future__ import annotations

from uuid import UUID

from core.ids import TenantId

QUEUE = "colloquy:queue"
"""arq's queue of documents; its health-check key is derived from it by arq."""
MAIL_QUEUE = "colloquy:mail-queue"
"""arq's queue of mail, which must not wait behind documents."""
REEMBEDDING_QUEUE = "colloquy:reembedding-queue"
"""arq's queue of documents on their way into another vector space, which no upload may wait behind."""

ANSWER_STOPS = "colloquy:answer-stops"
"""The pub/sub channel on which each process that writes answers hears the ids, in hex, of those to be stopped."""


def answer_log(tenant_id: TenantId, answer_id: UUID) -> str:
    """The list of an answer's events: element `sequence - 1` is event `sequence` of the newest attempt."""
    return f"colloquy:{tenant_id.hex}:answer:{answer_id.hex}:log"


def answer_meta(tenant_id: TenantId, answer_id: UUID) -> str:
    """Who may append: a hash of `epoch` and `generation`."""
    return f"colloquy:{tenant_id.hex}:answer:{answer_id.hex}:meta"


def answer_live(tenant_id: TenantId, answer_id: UUID) -> str:
    """The pub/sub channel that carries each event as it is appended."""
    return f"colloquy:{tenant_id.hex}:answer:{answer_id.hex}:live"


def answer_lease(tenant_id: TenantId, answer_id: UUID) -> str:
    """Exists while a producer is alive; its value is the producer's epoch."""
    return f"colloquy:{tenant_id.hex}:answer:{answer_id.hex}:lease"


def document_live(tenant_id: TenantId, document_id: UUID) -> str:
    """The pub/sub channel that says that a document's progress has changed."""
    return f"colloquy:{tenant_id.hex}:document:{document_id.hex}:live"


def documents_live(tenant_id: TenantId) -> str:
    """The pub/sub channel that says that some document of a tenant has changed."""
    return f"colloquy:{tenant_id.hex}:documents:live"


def conversation_live(tenant_id: TenantId, conversation_id: UUID) -> str:
    """The pub/sub channel that says that something in a conversation has changed."""
    return f"colloquy:{tenant_id.hex}:conversation:{conversation_id.hex}:live"


def answer_slots(tenant_id: TenantId) -> str:
    """The sorted set of the answers that a tenant has being written, by the end of their slots' leases."""
    return f"colloquy:{tenant_id.hex}:answer-slots"


def answer_waits(tenant_id: TenantId) -> str:
    """The sorted set of a tenant's stored answers that wait for a slot, by the end of their leases."""
    return f"colloquy:{tenant_id.hex}:answer-waits"


def rate(limit: str, subject: str) -> str:
    """When all that a subject has taken of a limit is paid off, in microseconds since 1970."""
    return f"colloquy:rate:{limit}:{subject}"


def session(tenant_id: TenantId, session_id: UUID) -> str:
    """A copy of what PostgreSQL says of a session; empty for a while after that has changed."""
    return f"colloquy:{tenant_id.hex}:session:{session_id.hex}"


def tenant_changed(tenant_id: TenantId) -> str:
    """Exists for a while after all of a tenant's sessions have changed at once: no copy of one counts meanwhile."""
    return f"colloquy:{tenant_id.hex}:changed"


def identity_live(tenant_id: TenantId) -> str:
    """The pub/sub channel that says whose session, role or suspension has changed."""
    return f"colloquy:{tenant_id.hex}:identity:live"


def model_answer(tenant_id: TenantId, digest: str) -> str:
    """What a model answered when it was asked what has this digest."""
    return f"colloquy:{tenant_id.hex}:model-answer:{digest}"


def conversation_context(tenant_id: TenantId, conversation_id: UUID) -> str:
    """What was said in a conversation up to one of its questions; empty for a while after that has changed."""
    return f"colloquy:{tenant_id.hex}:conversation:{conversation_id.hex}:context"


def query_vector(tenant_id: TenantId, digest: str) -> str:
    """The vector of a question in a model's space, which have this digest."""
    return f"colloquy:{tenant_id.hex}:query-vector:{digest}"
