"""A local stand-in for an OpenAI-compatible server: `chat/completions` as a stream, and `models/{model}`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from scripted_server import Asked, Cut, Data, Pace, Page, Raw, Refuse, Scripted, ScriptedServer, Until, event, running

__all__ = [
    "ANSWER",
    "Asked",
    "Cut",
    "Data",
    "Done",
    "OpenAIServer",
    "Pace",
    "Page",
    "Raw",
    "Refuse",
    "Say",
    "Step",
    "Until",
    "Usage",
    "openai_server",
]


@dataclass(frozen=True)
class Say:
    """One chunk of a stream."""

    text: str | None = None
    finish: str | None = None


@dataclass(frozen=True)
class Usage:
    """The chunk with the counts, as OpenAI sends it before `[DONE]`."""

    prompt: int = 7
    completion: int = 2


@dataclass(frozen=True)
class Done:
    """The end of the stream, as it should be."""


Step = Say | Usage | Done | Scripted
ANSWER: tuple[Step, ...] = (Say("Yes."), Say(finish="stop"), Usage(), Done())


def chunk(text: str | None, finish: str | None = None) -> bytes:
    """A chunk of a completion, with all that the vendor puts around it."""
    delta = {} if text is None else {"content": text}
    return event(
        {
            "id": "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz123",
            "object": "chat.completion.chunk",
            "created": 1_760_000_000,
            "model": "gpt-4.1-mini-2025-04-14",
            "service_tier": "default",
            "system_fingerprint": "fp_0123456789",
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
            "usage": None,
        }
    )


class OpenAIServer(ScriptedServer):
    """The vendor's shapes."""

    path = "/v1/chat/completions"

    def __init__(self) -> None:
        super().__init__({"gpt-4.1-mini"}, ANSWER)

    def events(self, step: Any) -> bytes:
        match step:
            case Say(text, finish):
                return chunk(text, finish)
            case Usage(prompt, completion):
                return event({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}})
            case Done():
                return event("[DONE]")
            case Data(value):
                return event(value)
        return chunk(step)


def openai_server() -> AbstractAsyncContextManager[OpenAIServer]:
    """A running server; it ends with the block."""
    return running(OpenAIServer())
