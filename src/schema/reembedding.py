"""Mutations: all documents into another vector space."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from resolvers import reembedding
from schema.errors import Conflict, InvalidInput
from schema.records import Info
from schema.types.embeddings import Embeddings


@strawberry.input
class ReembedDocumentsInput:
    model: str | None = strawberry.field(
        default=None, description="One of `Viewer.embeddings.models`; by default the first."
    )


@strawberry.type
class ReembedDocumentsPayload:
    embeddings: Embeddings


ReembedDocumentsResult = Annotated[
    ReembedDocumentsPayload | InvalidInput | Conflict, strawberry.union("ReembedDocumentsResult")
]


@strawberry.type
class ReembeddingMutations:
    @strawberry.mutation(
        description="Embed all documents with another model, in the background: follow `Viewer.embeddings`. What is "
        "there is searched until all of them are done. While one is running, another model takes its place, and the "
        "model that is searched calls it off. Needs the role BUSINESS."
    )
    async def reembed_documents(self, info: Info, input: ReembedDocumentsInput) -> ReembedDocumentsResult:
        result: Any = await reembedding.reembed_documents(info.context, input.model)
        if isinstance(result, reembedding.Embeddings):
            found: Any = result
            return ReembedDocumentsPayload(embeddings=found)
        return result  # type: ignore[no-any-return]
