"""Mutations: documents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import strawberry
from starlette.datastructures import UploadFile
from strawberry.file_uploads import Upload

from core.errors import RequestError
from datastores.records import DocumentRecord
from resolvers import documents
from schema.errors import DuplicateDocument, InvalidInput, NotFound, QuotaExceeded, RateLimited, UploadRejected
from schema.records import Info
from schema.types.knowledge import Document

_PIECE_BYTES = 1024 * 1024


@strawberry.input
class UploadDocumentInput:
    file: Upload = strawberry.field(
        description="PDF, Word (.docx), EPUB, HTML, CSV, Markdown or plain text, "
        "by the GraphQL multipart request specification."
    )
    name: str | None = strawberry.field(
        default=None,
        description="By default the file's own; 1 to 255 characters. Give it where a client percent-encodes the name "
        "of a form's file, as aiohttp does: it is taken to the letter, as browsers send it.",
    )
    assistant_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="Adds the document to this assistant's scope; with DuplicateDocument, the one that is there.",
    )


@strawberry.type
class UploadDocumentPayload:
    document: Document


UploadDocumentResult = Annotated[
    UploadDocumentPayload | UploadRejected | DuplicateDocument | QuotaExceeded | InvalidInput | NotFound | RateLimited,
    strawberry.union("UploadDocumentResult"),
]


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    await file.seek(0)  # the same file may be in two places of one request
    while piece := await file.read(_PIECE_BYTES):
        yield piece


def _name_of(file: UploadFile) -> str:
    """The client's name for the file. A form encodes three characters of it and nothing else (HTML, "multipart form
    data"), so that a file which is really called `50%20off.txt` keeps its name."""
    name = file.filename or ""
    for encoded, character in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        name = name.replace(encoded, character)
    return name


@strawberry.type
class KnowledgeMutations:
    @strawberry.mutation(
        description="Keep a file and make it searchable in the background: follow `documentProgress`. The same bytes "
        "are kept once in an organisation: DuplicateDocument has the document that they are; one that is FAILED or "
        "CANCELLED does not count, and these become another. Needs BUSINESS."
    )
    async def upload_document(self, info: Info, input: UploadDocumentInput) -> UploadDocumentResult:
        file: Any = input.file
        if not isinstance(file, UploadFile):
            raise RequestError.bad_input("`file` must be sent as a part of a GraphQL multipart request.")
        upload = documents.Upload(_name_of(file), _pieces(file))
        result: Any = await documents.upload_document(
            info.context, upload, name=input.name, assistant_id=input.assistant_id
        )
        accepted = type(result) is DocumentRecord
        return UploadDocumentPayload(document=result) if accepted else result
