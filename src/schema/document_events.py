"""The events of a list of documents as clients see them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import strawberry

from core.ids import NodeKind, to_global
from resolvers import follow_documents
from schema.types.knowledge import Document


@strawberry.type(
    description="The list as it stands: the first event. It takes the place of everything received before."
)
class DocumentsSnapshot:
    documents: list[Document] = strawberry.field(description="The first so many, newest first.")
    has_more: bool = strawberry.field(description="Whether there are older ones: `viewer { documents(after:) }`.")


@strawberry.type(
    description="A document has come into the list, which is ordered by `createdAt`: it was uploaded, has one of the "
    "wanted statuses now, may be read now, or is an older one that takes the place of another."
)
class DocumentAdded:
    document: Document


@strawberry.type(
    description="A document of the list as it stands now: its status, or its progress. Several changes within half a "
    "second come as one."
)
class DocumentChanged:
    document: Document


@strawberry.type(
    description="A document is no longer in the list: it was deleted, has none of the wanted statuses, may not be read "
    "any more, or newer ones have taken its place."
)
class DocumentRemoved:
    document_id: strawberry.ID


DocumentsEvent = Annotated[
    DocumentsSnapshot | DocumentAdded | DocumentChanged | DocumentRemoved, strawberry.union("DocumentsEvent")
]


async def documents_events(found: AsyncGenerator[follow_documents.ListEvent, None]) -> AsyncGenerator[Any, None]:
    """The GraphQL events."""
    async with aclosing(found):
        async for event in found:
            yield _as_event(event)


def _as_event(event: follow_documents.ListEvent) -> Any:
    match event:
        case follow_documents.Listed():
            return DocumentsSnapshot(documents=event.documents, has_more=event.has_more)  # type: ignore[arg-type]
        case follow_documents.Added():
            return DocumentAdded(document=event.document)  # type: ignore[arg-type]
        case follow_documents.Changed():
            return DocumentChanged(document=event.document)  # type: ignore[arg-type]
        case follow_documents.Removed():
            return DocumentRemoved(document_id=strawberry.ID(to_global(NodeKind.DOCUMENT, event.document_id)))
