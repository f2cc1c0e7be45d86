"""What one event of a streamed answer says, in one vocabulary for all vendors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from providers import failures
from providers.http.refusals import Refusal


@dataclass(slots=True)
class Chunk:
    """One event. `thinking`: the model has written something that is not part of its answer; `refused`: why it gives
    none; `done`: nothing follows. Counts are of the whole answer so far."""

    text: str = ""
    thinking: bool = False
    refused: bool = False
    done: bool = False
    finish: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    error: Refusal | None = None


def read_object(data: bytes) -> dict[str, Any]:
    """An event's data, which is a JSON object. Raises PROVIDER_BAD_RESPONSE."""
    content = _json(data)
    if not isinstance(content, dict):
        raise failures.unreadable()
    return content


def count_in(usage: Mapping[str, Any], name: str) -> int | None:
    """A number of tokens; None where it is none."""
    value = usage.get(name)
    return value if isinstance(value, int) and 0 <= value < 2**31 else None


def _json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        # As the format's standard reads it: what is no UTF-8 becomes U+FFFD. Half an escaped surrogate pair, which
        # orjson refuses, is kept: the other half may come in the next piece.
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise failures.unreadable() from None
