"""What jobs need of their process."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from core.settings import Settings
from datastores.document_news import DocumentNews
from datastores.postgres import Postgres
from datastores.storage.base import FileStorage
from jobs.queue import JobQueue
from providers.mail.base import MailTransport
from providers.registry import Providers


@dataclass(slots=True)
class JobServices:
    """Made once when the worker starts."""

    settings: Settings
    postgres: Postgres
    redis: Redis
    files: FileStorage
    providers: Providers
    queue: JobQueue
    document_news: DocumentNews
    mail: MailTransport
