"""Following a list of documents: how it is, and what changes in it, from PostgreSQL; Redis only says when to look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from core.ids import ListKind, TenantId
from datastores import knowledge, redis_keys
from datastores.models import DocumentStatus
from datastores.pages import Page
from datastores.records import DocumentRecord
from resolvers.arguments import forward_page
from resolvers.context import Context
from resolvers.permissions import Operation

PAUSE_SECONDS = 0.5
"""Between two looks: a document that is being read says several times a second that it has got further."""
SILENCE_SECONDS = 5.0
"""A follower looks at least this often, whether or not it is told to."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The list as it is now, newest first; `has_more`: it goes on behind the last one."""

    documents: list[DocumentRecord]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Added:
    """A document that has come into the list."""

    document: DocumentRecord


@dataclass(frozen=True, slots=True)
class Changed:
    """A document of the list that is not what it was."""

    document: DocumentRecord


@dataclass(frozen=True, slots=True)
class Removed:
    """A document that is no longer in the list."""

    document_id: UUID


ListEvent = Listed | Added | Changed | Removed


async def follow_documents(
    context: Context, statuses: Sequence[DocumentStatus] | None, first: int | None
) -> AsyncGenerator[ListEvent, None]:
    """The first page of `Viewer.documents`, and what changes in it, for as long as the person may read it.

    Whoever applies the events to the first one has what a query would give. Raises `RequestError` at once.
    """
    person = await context.authorise(Operation.DOCUMENTS)
    request = forward_page(ListKind.DOCUMENTS, first, None)
    # A subscription must not sit on a connection of the pool while it waits.
    await context.reads.aclose()
    tenant_id, services = TenantId(person.tenant_id), context.services

    async def events() -> AsyncGenerator[ListEvent, None]:
        known: Page[DocumentRecord] | None = None
        # Listening comes first: what is committed after a look is told behind it.
        async with services.live.follow(redis_keys.documents_live(tenant_id)) as feed:
            while True:
                try:
                    async with services.postgres.read(tenant_id) as tx:
                        # The role may have become a stronger one; with a weaker one all of this ends.
                        now = await knowledge.documents(tx, context.known_person or person, statuses, None, request)
                except (SQLAlchemyError, OSError):
                    pass  # the database is away: say nothing, look again later
                else:
                    for event in _events(known, now):
                        yield event
                    known = now
                await asyncio.sleep(PAUSE_SECONDS)
                await feed.take(SILENCE_SECONDS)

    return events()


def _events(known: Page[DocumentRecord] | None, now: Page[DocumentRecord]) -> Iterator[ListEvent]:
    if known is None:
        yield Listed(now.items, now.has_next)
        return
    before = {document.id: document for document in known.items}
    present = {document.id for document in now.items}
    for document in known.items:
        if document.id not in present:
            yield Removed(document.id)
    # Oldest first, as they came.
    for document in reversed(now.items):
        if document.id not in before:
            yield Added(document)
        elif document != before[document.id]:
            yield Changed(document)
