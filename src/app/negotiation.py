"""Which media type a response has, and with it which status: GraphQL over HTTP, sections "Body" and "Status Codes"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from core.errors import RequestErrorCode

RESPONSE: Final = "application/graphql-response+json"
JSON: Final = "application/json"
_OFFERED: Final = (JSON, RESPONSE)
"""The first one is sent to whoever takes either alike: `*/*`, or no `Accept`. The draft would have the other since
2025, but its audit suite, and clients that look at the status before the body, expect `application/json`."""
_STATUS: Final = {
    RequestErrorCode.UNAUTHENTICATED.value: 401,
    RequestErrorCode.FORBIDDEN.value: 403,
    RequestErrorCode.RATE_LIMITED.value: 429,
    RequestErrorCode.INTERNAL.value: 500,
}


def status_of(code: str) -> int:
    """The status of a request that was refused as a whole with this `extensions.code`."""
    return _STATUS.get(code, 400)


def response_status(body: Mapping[str, Any], media_type: str) -> int:
    """The status of a response to a well-formed request.

    `application/json` has always 200, because a proxy's own error could be of that type, too. The newer type has the
    error's status where there is no `data`: nothing was executed.
    """
    if media_type == JSON or "data" in body:
        return 200
    codes = [error.get("extensions", {}).get("code") for error in body.get("errors", ())]
    return status_of(codes[0]) if codes else 400


def media_type_for(accept: Sequence[str]) -> str | None:
    """The offered type that the `Accept` headers prefer, the one named first among equals; None when they take none.

    A more specific range decides for a type over a less specific one (RFC 9110, 12.5.1).
    """
    ranges = [_range(part) for value in accept for part in value.split(",") if part.strip()]
    if not ranges:
        return _OFFERED[0]
    best: tuple[float, int] | None = None
    chosen = None
    for offered in _OFFERED:
        exactness, place, weight = max(
            (
                (exactness, -place, weight)
                for place, (kind, weight) in enumerate(ranges)
                if (exactness := _matches(kind, offered))
            ),
            default=(0, 0, 0.0),
        )
        if weight > 0 and (best is None or (weight, place) > best):
            best, chosen = (weight, place), offered
    return chosen


def content_type(value: str) -> tuple[str, dict[str, str]]:
    """A media type and its parameters, names in small letters."""
    kind, *rest = value.split(";")
    pairs = (parameter.partition("=") for parameter in rest)
    return kind.strip().lower(), {name.strip().lower(): text.strip().strip('"') for name, _, text in pairs}


def is_utf8(parameters: Mapping[str, str]) -> bool:
    """Whether the charset, if one is named, is the only one that we speak."""
    return parameters.get("charset", "utf-8").lower() in ("utf-8", "utf8")


def _range(text: str) -> tuple[str, float]:
    kind, parameters = content_type(text)
    try:
        weight = min(1.0, max(0.0, float(parameters.get("q", "1"))))
    except ValueError:
        weight = 0.0
    return kind, weight if is_utf8(parameters) and weight == weight else 0.0


def _matches(kind: str, offered: str) -> int:
    if kind == offered:
        return 3
    return {"application/*": 2, "*/*": 1}.get(kind, 0)
