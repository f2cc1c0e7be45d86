"""What a process has, and what its clients bring."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final, Protocol

from redis.asyncio import Redis

from answers.retrieval import Retriever
from answers.supervisor import AnswerSupervisor
from core.keyed_locks import KeyedLocks
from core.opaque_tokens import OpaqueTokens
from core.security import TokenSigner
from core.settings import Settings
from core.turns import Turns
from datastores.answer_log import AnswerLog
from datastores.answer_slots import AnswerSlots
from datastores.answer_stops import StopCalls
from datastores.audit_file import AuditFile
from datastores.conversation_news import ConversationNews
from datastores.document_news import DocumentNews
from datastores.live import LiveChannels
from datastores.postgres import Postgres
from datastores.rate_limits import RateLimiter
from datastores.rates import RateLimits, Subjects
from datastores.storage.base import FileStorage
from jobs.queue import JobQueue
from providers.registry import Providers
from resolvers.following.topic import AnswerTopics
from resolvers.standing import Standings
from resolvers.trusted_documents import TrustedDocuments

SEARCHES: Final = 2
"""Of a process, at once."""


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from, as its socket and its headers say."""

    address: str = ""
    device: str = ""


NOWHERE: Final = Client()
"""Of what no client asks for."""


class RefreshCookie(Protocol):
    """The browser's refresh token, which the page's own scripts never see."""

    value: str | None

    def set(self, token: str, max_age: int) -> None:
        """Keep the token for so many seconds."""
        ...

    def clear(self) -> None:
        """Drop it."""
        ...


@dataclass(frozen=True, slots=True)
class Rates:
    """Who may come how often."""

    limiter: RateLimiter
    limits: RateLimits
    subjects: Subjects


@dataclass(slots=True)
class Services:
    """What the process has, made once at start-up."""

    settings: Settings
    signer: TokenSigner
    tokens: OpaqueTokens
    standings: Standings
    postgres: Postgres
    redis: Redis
    answer_log: AnswerLog
    live: LiveChannels
    topics: AnswerTopics
    files: FileStorage
    providers: Providers
    retriever: Retriever
    queue: JobQueue
    supervisor: AnswerSupervisor
    rates: Rates
    slots: AnswerSlots
    keys: KeyedLocks
    """Of idempotency keys that this process works on."""
    news: ConversationNews
    stop_calls: StopCalls
    document_news: DocumentNews
    audit_file: AuditFile
    trusted: TrustedDocuments
    turns: Turns = field(default_factory=Turns)
    """Taken by operations with a large result."""
    searches: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SEARCHES))
    """Held by `Viewer.passages` while it embeds, so that an answer's question waits for few others."""
