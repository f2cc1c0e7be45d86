"""Limits that are held before anything is made of a request: the bytes of its parts, and the values in its JSON."""

from __future__ import annotations

from typing import Any, Final

import orjson
from cross_web import HTTPException

from core.settings import Settings
from schema.limits.refusal import Limit, LimitExceededError, hold

MAP_BYTES: Final = 4_096
"""Of a form's `map`: a form has one file, and its places take some 20 bytes each."""
_QUOTES: Final = 4
"""Of a value and its name."""
_SPACE: Final = b" \t\r\n"


class BeyondLimitError(HTTPException):
    """A request is beyond a limit, and nothing has been made of it."""

    def __init__(self, status: int, reason: str, kind: str, limit: int, actual: object = None) -> None:
        super().__init__(status, reason)
        found = f"more than {limit}" if actual is None else actual
        self.details: dict[str, object] = {"kind": kind, "limit": limit, "actual": found}


def operation_bytes(settings: Settings) -> int:
    """How large an operation may be in a form: a document and variables of the greatest size."""
    return settings.limit_document_bytes + settings.limit_input_bytes


def read_json(text: bytes, settings: Settings) -> Any:
    """What a JSON text says.

    Raises `LimitExceededError` for more values than are allowed before it makes any, and json.JSONDecodeError.
    """
    hold_values(text, settings.limit_input_values)
    return orjson.loads(text)


def hold_values(text: bytes, most: int) -> None:
    """Refuse a JSON text that has more values than this, in some ten milliseconds for a MiB. Raises
    `LimitExceededError`.

    A parser makes a list of each `[]`: a MiB of them takes it 150 ms, and as much again when they are collected. Here
    brackets and commas are counted; those within strings too only while they are few enough not to matter. Where the
    text is no JSON, the count is right up to that place, behind which no parser goes.
    """
    if text.count(b",") + text.count(b"[") + text.count(b"{") < most:
        return
    if b"\\" in text:
        # From left to right, so that what is left of `\\"` is the end of its string.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    if text.count(b'"') > _QUOTES * most:
        raise LimitExceededError(Limit.INPUT_VALUES, most)
    # Each string becomes a quotation mark, so that `[""]` does not become an empty list.
    text = b'"'.join(text.split(b'"')[::2]).translate(None, _SPACE)
    containers = text.count(b"[") + text.count(b"{") - text.count(b"[]") - text.count(b"{}")
    hold(Limit.INPUT_VALUES, most, 1 + text.count(b",") + containers)
