"""Trusted documents, and requests that name theirs by its hash: Apollo's `persistedQuery`, or `documentId`.

`documentId` is of GraphQL over HTTP, appendix "Persisted Documents". The words and codes of the errors are Apollo's,
because its clients look for them; a client cannot register a document by sending it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from core.errors import RequestError, RequestErrorCode
from resolvers.trusted_documents import TrustedDocuments

_HASH: Final = re.compile("[0-9a-f]{64}")
_PREFIX: Final = "sha256:"
NO_DOCUMENT: Final = "There is no `query` in the request."


def hash_of(text: str) -> str:
    """A document's name: the SHA-256 of its text, in hexadecimal digits."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def with_document_id(extensions: dict[str, Any] | None, document_id: object) -> dict[str, Any] | None:
    """The extensions with Apollo's equivalent of a `documentId`.

    Raises `RequestError` for an id that is no text, or that contradicts what is there.
    """
    if document_id is None:
        return extensions
    if not isinstance(document_id, str):
        raise RequestError.bad_input("`documentId` must be a string.")
    if extensions is not None and "persistedQuery" in extensions:
        raise RequestError.bad_input("Give `documentId` or `extensions.persistedQuery`, not both.")
    named = document_id.removeprefix(_PREFIX) if document_id.startswith(_PREFIX) else ""
    return {**(extensions or {}), "persistedQuery": {"version": 1, "sha256Hash": named}}


def named_hash(extensions: Mapping[str, Any]) -> str | None:
    """The hash that a request names; "" for one that no document can have, None where none is named.

    Raises `RequestError` for what has not the shape.
    """
    named = extensions.get("persistedQuery")
    if named is None:
        return None
    if not isinstance(named, dict) or not isinstance(named.get("sha256Hash"), str):
        raise RequestError.bad_input("`extensions.persistedQuery` must be an object with `version` and `sha256Hash`.")
    if named.get("version") != 1:
        raise RequestError.bad_input("Unsupported persisted query version; expected 1.")
    return named["sha256Hash"] if _HASH.fullmatch(named["sha256Hash"]) else ""


async def text_to_run(
    trusted: TrustedDocuments, query: str | None, extensions: Mapping[str, Any], *, only_trusted: bool
) -> str:
    """The text that was sent, or that is registered under the hash that was.

    Raises `RequestError` for neither, an unknown hash, one that is not the text's, and, where only trusted documents
    run, for any other.
    """
    named = named_hash(extensions)
    if not query:
        if named is None:
            raise RequestError.bad_input(NO_DOCUMENT)
        text = await trusted.text_of(named)
        if text is None:
            raise RequestError(RequestErrorCode.PERSISTED_QUERY_NOT_FOUND, "PersistedQueryNotFound")
        return text
    if named is None and not only_trusted:
        return query
    actual = hash_of(query)
    if named not in (None, actual):
        raise RequestError.bad_input("provided sha does not match query")
    if only_trusted and not await trusted.knows(actual):
        raise RequestError(
            RequestErrorCode.PERSISTED_QUERY_ONLY,
            "This API runs registered documents alone, and this one is not registered.",
        )
    return query
