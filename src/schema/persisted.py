"""Requests that name their document by its hash: Apollo's `persistedQuery`, or `documentId` of GraphQL over HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from core.errors import RequestError

_HASH: Final = re.compile("[0-9a-f]{64}")
_PREFIX: Final = "sha256:"


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
