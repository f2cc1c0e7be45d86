"""The events of a streamed message (https://docs.anthropic.com/en/docs/build-with-claude/streaming)."""

from __future__ import annotations

from typing import Any

from providers.http.chunks import Chunk, count_in, read_object
from providers.http.refusals import Refusal, refusal_of

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Of each type of error the HTTP status that it has outside of a stream."""
_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
"""What was read is the sum of what no cache knew, what one was given, and what one had."""


def read_event(data: bytes) -> Chunk:
    """What an event's data says; `ping`, and what is new, says nothing. Raises `ProviderError`."""
    content = read_object(data)
    chunk = Chunk()
    match content.get("type"):
        case "content_block_delta":
            _read_part(chunk, content.get("delta"))
        case "content_block_start":
            _read_part(chunk, content.get("content_block"))
        case "message_start":
            # Its count of what is written is a placeholder: the one that counts comes at the end.
            chunk.input_tokens = _read_tokens(_object(content.get("message")).get("usage"))
        case "message_delta":
            reason = _object(content.get("delta")).get("stop_reason")
            chunk.finish = reason if isinstance(reason, str) and reason else None
            usage = content.get("usage")
            chunk.input_tokens, chunk.output_tokens = _read_tokens(usage), count_in(_object(usage), "output_tokens")
        case "message_stop":
            chunk.done = True
        case "error":
            chunk.error = _refusal(content)
    return chunk


def _read_part(chunk: Chunk, part: Any) -> None:
    """A block, as it begins, or a piece of one: text, or thinking, which is none."""
    part = _object(part)
    kind, text = part.get("type"), part.get("text")
    if kind in ("text", "text_delta") and isinstance(text, str):
        chunk.text = text
    elif isinstance(kind, str) and ("thinking" in kind or kind == "signature_delta"):
        chunk.thinking = True


def _read_tokens(usage: Any) -> int | None:
    usage = _object(usage)
    if count_in(usage, "input_tokens") is None:
        return None
    return sum(count_in(usage, name) or 0 for name in _INPUT)


def _refusal(content: dict[str, Any]) -> Refusal:
    kind = _object(content.get("error")).get("type")
    return refusal_of(content, _STATUS.get(kind, 0) if isinstance(kind, str) else 0)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
