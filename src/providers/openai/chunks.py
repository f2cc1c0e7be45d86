"""The chunks of a chat completion: what one event of the stream says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import orjson

from providers.openai import failures
from providers.openai.failures import Refusal


@dataclass(slots=True)
class Chunk:
    """One event. `thinking`: the model has written something that is not part of its answer; `refused`: why it gives
    none."""

    text: str = ""
    thinking: bool = False
    refused: bool = False
    finish: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    error: Refusal | None = None


def read_chunk(data: bytes) -> Chunk:
    """What an event's data says; whatever is missing, null or of another type says nothing. Raises `ProviderError`."""
    content = _json(data)
    if not isinstance(content, dict):
        raise failures.unreadable()
    chunk = Chunk()
    choices = content.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        _read_choice(chunk, choices[0])
    elif content.get("error") or content.get("object") == "error":
        chunk.error = failures.refusal_of(content)
    usage = content.get("usage")
    if isinstance(usage, dict):
        chunk.input_tokens, chunk.output_tokens = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    return chunk


def _read_choice(chunk: Chunk, choice: dict[str, Any]) -> None:
    finish = choice.get("finish_reason")
    if isinstance(finish, str) and finish:
        chunk.finish = finish
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return
    text = delta.get("content")
    if isinstance(text, str):
        chunk.text = text
    elif isinstance(text, list):
        # Mistral's form: parts, of which those of type "thinking" are no text of the answer.
        chunk.text = "".join(
            part["text"] for part in text if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
        chunk.thinking = not chunk.text
    # A structured refusal, which has a place of its own and ends with the reason "stop".
    chunk.refused = bool(delta.get("refusal"))
    if not chunk.text and (chunk.refused or delta.get("reasoning_content") or delta.get("reasoning")):
        chunk.thinking = True


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


def _count(usage: dict[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and 0 <= value < 2**31 else None
