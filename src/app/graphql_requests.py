"""The operation in a request: GraphQL over HTTP, section "Request", to the letter."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import parse_qsl

from cross_web import HTTPException
from strawberry.http import GraphQLRequestData

from app.negotiation import JSON, content_type, is_utf8
from app.request_limits import BeyondLimitError, read_json
from app.uploads import RequestAdapter
from core.errors import RequestError
from core.settings import Settings
from core.turns import Gate
from schema.limits.refusal import LimitExceededError
from schema.persisted import NO_DOCUMENT, with_document_id

FORM: Final = "multipart/form-data"
_PARAMETERS: Final = ("query", "documentId", "operationName", "variables", "extensions")
_MOST_PARAMETERS: Final = 20
_MISFIT: Final = "The files of the multipart body are not where its map says."


async def read_post(request: RequestAdapter, gate: Gate) -> GraphQLRequestData:
    """The operation in a body. Raises HTTPException: 415 for another type or charset, 400 for what is malformed, or has
    more values than are allowed, 413 for what is too large."""
    kind, parameters = content_type(request.content_type or "")
    if kind not in (JSON, FORM):
        raise HTTPException(415, f"The body must be {JSON}, or {FORM} with a file; Content-Type says: {kind[:100]!r}.")
    if not is_utf8(parameters):
        raise HTTPException(415, "The body must be UTF-8.")
    if codings := [coding for coding in request.codings if coding != "identity"]:
        raise HTTPException(415, f"The body must not be compressed; Content-Encoding says: {codings[0][:100]!r}.")
    if kind == FORM:
        return _operation(await _form(request, gate))
    body = await request.get_body()
    if not body:
        raise HTTPException(400, "The body is empty; expected a JSON object with `query`.")
    await gate.enter()
    return _operation(_json(body, "The body", request.settings))


def read_get(query_string: bytes, settings: Settings) -> GraphQLRequestData:
    """The operation in a URL. Raises HTTPException 400."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:
        raise HTTPException(400, "The URL's parameters are not UTF-8, or there are too many.") from None
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name in given:
            raise HTTPException(400, f"`{name[:100]}` is in the URL twice.")
        given[name] = value
    for name in ("variables", "extensions"):
        given[name] = _json(given[name].encode(), f"`{name}`", settings) if given.get(name) else None
    return _operation({name: given.get(name) for name in _PARAMETERS})


def _operation(given: object) -> GraphQLRequestData:
    if isinstance(given, list):
        raise HTTPException(400, "Batching is off: send one operation, as a JSON object.")
    if not isinstance(given, dict):
        raise HTTPException(400, "The request must be a JSON object with `query`.")
    query, name = _text(given, "query"), _text(given, "operationName")
    variables, extensions = _object(given, "variables"), _object(given, "extensions")
    try:
        extensions = with_document_id(extensions, given.get("documentId"))
    except RequestError as error:
        raise HTTPException(400, error.message) from None
    if not query and (extensions or {}).get("persistedQuery") is None:
        raise HTTPException(400, NO_DOCUMENT)
    return GraphQLRequestData(
        query=query, variables=variables, operation_name=name, extensions=extensions, protocol="http"
    )


def _text(given: dict[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise HTTPException(400, f"`{name}` must be a string.")
    return value


def _object(given: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = given.get(name)
    if value is not None and not isinstance(value, dict):
        raise HTTPException(400, f"`{name}` must be an object.")
    return value


def _json(text: bytes, what: str, settings: Settings) -> Any:
    try:
        return read_json(text, settings)
    except LimitExceededError as error:
        kind = error.limit.name.lower()
        raise BeyondLimitError(400, error.message, kind, error.allowed, error.actual) from None
    except json.JSONDecodeError:
        why = "is not JSON in UTF-8, or has a number that is too great or levels too many to be read"
        raise HTTPException(400, f"{what} {why}.") from None


async def _form(request: RequestAdapter, gate: Gate) -> Any:
    """The operation of a GraphQL multipart request, its files in their places."""
    form = await request.get_form_data()
    await gate.enter()
    parts = [form.form.get(name, "{}") for name in ("operations", "map")]
    if not all(isinstance(part, str) for part in parts):
        raise HTTPException(400, "`operations` and `map` must be fields of the form, not files.")
    operations = _json(parts[0].encode(), "`operations`", request.settings)
    files_map = _json(parts[1].encode(), "`map`", request.settings)
    try:
        for name, places in files_map.items():
            if name not in form.files:
                raise HTTPException(
                    400, "A file that the map names is missing in the multipart request. A file has a filename."
                )
            for place in places:
                _put(form.files[name], operations, place)
    except (AttributeError, LookupError, TypeError, ValueError):
        # The shape of the operation and of its map is taken on trust.
        raise HTTPException(400, _MISFIT) from None
    return operations


def _put(file: object, operations: Any, place: str) -> None:
    """As Strawberry does it, but in the operation itself: a copy costs several times what made it."""
    *outer, last = place.split(".")
    target = operations
    for name in outer:
        target = target[int(name) if isinstance(target, list) else name]
    target[int(last) if isinstance(target, list) else last] = file
