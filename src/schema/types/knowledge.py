"""Documents, their pages and chunks, and the passages that retrieval finds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry

from core.errors import RequestError
from core.ids import NodeKind
from datastores import records
from resolvers import documents as documents_resolver
from resolvers.documents import Progress
from schema.connections import ConnectionRecord, EdgeRecord, PageInfo, edge_cursor
from schema.enums import DocumentStatus
from schema.interfaces import Node
from schema.limits.price import LOADED_LIST, PRICE, SIGNED
from schema.records import Info, backed_by, computed, global_id, relation
from schema.types.failure import Failure, failure_of
from schema.types.people import User

MAX_INT = 2**31 - 1


@backed_by(records.DocumentPageRecord, description="A page's cleaned text: what chunk offsets and citations refer to.")
class DocumentPage:
    number: int = strawberry.field(description="Counts from 1.")
    text: str


async def _page(root: Any, info: Info, number: int) -> DocumentPage | None:
    if not 1 <= number <= MAX_INT:
        raise RequestError.bad_input(f"`number` is {number}; pages count from 1.")
    page: Any = await info.context.loaders.document_pages.load((root.id, number))
    return page  # type: ignore[no-any-return]


def _content_url(root: Any, info: Info) -> str | None:
    return documents_resolver.content_url(info.context, root)


@backed_by(records.DocumentRecord, description="An uploaded file.")
class Document(Node):
    id: strawberry.ID = global_id(NodeKind.DOCUMENT)
    name: str
    content_type: str = strawberry.field(description="MIME type, found from the file's content.")
    byte_size: int
    status: DocumentStatus
    progress: DocumentProgress = computed(lambda record: Progress(record, None))
    failure: Failure | None = computed(failure_of)
    page_count: int | None = strawberry.field(
        description="Null where the file has no pages, or is not read yet. An EPUB's pages are its chapters."
    )
    chunk_count: int = computed(lambda record: record.chunks_total or 0, "0 until the file has been read.")
    page: DocumentPage | None = strawberry.field(
        resolver=_page,
        description="One page by its number, from 1; a file without pages is page 1.",
        metadata={PRICE: LOADED_LIST},
    )
    content_url: str | None = strawberry.field(
        resolver=_content_url,
        description="A signed link to the original that expires; null where it is not kept.",
        metadata={PRICE: SIGNED},
    )
    created_at: datetime
    uploaded_by: User | None = relation("users", "uploaded_by_id", "Null to a USER who is not the uploader.")


@backed_by(Progress, description="Where a document stands on its way to READY.")
class DocumentProgress:
    document: Document
    status: DocumentStatus = computed(lambda progress: progress.document.status)
    pages_done: int = computed(lambda progress: progress.document.pages_done)
    pages_total: int | None = computed(lambda progress: progress.document.pages_total)
    chunks_done: int = computed(lambda progress: progress.document.chunks_done)
    chunks_total: int | None = computed(lambda progress: progress.document.chunks_total)
    eta_seconds: float | None = strawberry.field(description="Null until a pace is known.")
    failure: Failure | None = computed(lambda progress: failure_of(progress.document))


@backed_by(
    records.ChunkRecord,
    description="A passage of a document. `start` and `end` are Unicode code points in the text of its page "
    "(of the whole document where it has no pages).",
)
class Chunk(Node):
    id: strawberry.ID = global_id(NodeKind.CHUNK)
    document: Document = relation("documents", "document_id")
    ordinal: int = strawberry.field(description="Its place in the document, from 0.")
    page: int | None = strawberry.field(description="Null where the file has no pages.")
    text: str
    start: int
    end: int


@backed_by(records.PassageRecord, description="What retrieval found for a question.")
class Passage:
    chunk: Chunk = relation("chunks", "chunk_id")
    document: Document = relation("documents", "document_id")
    page: int | None
    distance: float = strawberry.field(description="Cosine distance to the question: 0 same direction, 2 opposite.")
    score: float = strawberry.field(
        description="Fused reciprocal rank, or a reranker's score; only its order means something. Passages that "
        "repeat a better one come behind all others, whatever their score."
    )


@backed_by(EdgeRecord, name="DocumentEdge")
class DocumentEdge:
    cursor: str = edge_cursor()
    node: Document


@backed_by(ConnectionRecord, name="DocumentConnection")
class DocumentConnection:
    edges: list[DocumentEdge]
    nodes: list[Document]
    page_info: PageInfo
