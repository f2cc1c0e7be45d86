"""Mutations: cancelling, retrying and deleting documents."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import strawberry

from core.ids import NodeKind, to_global
from datastores.records import DocumentRecord
from resolvers import document_life
from schema.errors import Conflict, DuplicateDocument, InvalidInput, NotFound, RateLimited
from schema.records import Info
from schema.types.knowledge import Document


@strawberry.input
class CancelDocumentInput:
    document_id: strawberry.ID


@strawberry.type
class CancelDocumentPayload:
    document: Document


@strawberry.input
class RetryDocumentInput:
    document_id: strawberry.ID


@strawberry.type
class RetryDocumentPayload:
    document: Document


@strawberry.input
class DeleteDocumentInput:
    document_id: strawberry.ID


@strawberry.type
class DeleteDocumentPayload:
    document_id: strawberry.ID


CancelDocumentResult = Annotated[
    CancelDocumentPayload | NotFound | InvalidInput | Conflict, strawberry.union("CancelDocumentResult")
]
RetryDocumentResult = Annotated[
    RetryDocumentPayload | NotFound | InvalidInput | Conflict | DuplicateDocument | RateLimited,
    strawberry.union("RetryDocumentResult"),
]
DeleteDocumentResult = Annotated[
    DeleteDocumentPayload | NotFound | InvalidInput, strawberry.union("DeleteDocumentResult")
]


@strawberry.type
class DocumentLifeMutations:
    @strawberry.mutation(
        description="End a document that is QUEUED, PARSING or EMBEDDING as CANCELLED. Whoever works on it stops "
        "within a second, and nothing of it is found; its file stays, for `retryDocument`. Cancelling a cancelled one "
        "changes nothing; one that is READY or FAILED is a Conflict. Needs BUSINESS."
    )
    async def cancel_document(self, info: Info, input: CancelDocumentInput) -> CancelDocumentResult:
        result: Any = await document_life.cancel_document(info.context, input.document_id)
        return CancelDocumentPayload(document=result) if type(result) is DocumentRecord else result  # type: ignore[arg-type]

    @strawberry.mutation(
        description="Have a document that is FAILED or CANCELLED made searchable after all: follow `documentProgress`. "
        "It goes on from the first passage that is not embedded yet where all of its text has been read, and else "
        "begins with reading the file. `Failure.retryable` says that the same may well succeed now; other failures may "
        "be retried, too, once their reason is gone (a provider's key, a model, storage), but not those of the file "
        "itself: ENCRYPTED, NO_TEXT, EMPTY, CORRUPT, UNSUPPORTED_TYPE, TOO_LARGE and TOO_MANY_PAGES are a Conflict. So "
        "is a document of any other status. DuplicateDocument: the same bytes have been uploaded again since. Counts "
        "as an upload. Needs BUSINESS."
    )
    async def retry_document(self, info: Info, input: RetryDocumentInput) -> RetryDocumentResult:
        result: Any = await document_life.retry_document(info.context, input.document_id)
        return RetryDocumentPayload(document=result) if type(result) is DocumentRecord else result  # type: ignore[arg-type]

    @strawberry.mutation(
        description="Delete a document of any status, with its text, its vectors and its file. Answers that cite it "
        "keep its name, the page and the quotation; `Citation.document` and `Citation.chunk` are null from then on. "
        "Needs BUSINESS."
    )
    async def delete_document(self, info: Info, input: DeleteDocumentInput) -> DeleteDocumentResult:
        result: Any = await document_life.delete_document(info.context, input.document_id)
        if isinstance(result, UUID):
            return DeleteDocumentPayload(document_id=strawberry.ID(to_global(NodeKind.DOCUMENT, result)))
        return result  # type: ignore[no-any-return]
