"""The chunks of a chat completion: what one event of the stream says."""

from __future__ import annotations

from typing import Any

from providers.http.chunks import Chunk, count_in, read_object
from providers.http.refusals import refusal_of


def read_chunk(data: bytes) -> Chunk:
    """What an event's data says; whatever is missing, null or of another type says nothing. Raises `ProviderError`."""
    if data == b"[DONE]":
        return Chunk(done=True)
    content = read_object(data)
    chunk = Chunk()
    choices = content.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        _read_choice(chunk, choices[0])
    elif content.get("error") or content.get("object") == "error":
        chunk.error = refusal_of(content)
    usage = content.get("usage")
    if isinstance(usage, dict):
        chunk.input_tokens, chunk.output_tokens = count_in(usage, "prompt_tokens"), count_in(usage, "completion_tokens")
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
