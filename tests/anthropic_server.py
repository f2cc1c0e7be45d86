"""A local stand-in for Anthropic's API: `v1/messages` as a stream, `v1/messages/count_tokens` and `v1/models/{model}`.

The shapes are those of the vendor's documentation, the version of 2023-06-01.
"""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from scripted_server import Cut, Data, Pace, Page, Raw, Refuse, Scripted, ScriptedServer, Until, running

__all__ = [
    "ANSWER",
    "AnthropicServer",
    "Begin",
    "Block",
    "Cut",
    "Data",
    "End",
    "Fail",
    "Pace",
    "Page",
    "Ping",
    "Raw",
    "Refuse",
    "Say",
    "Step",
    "Stop",
    "Think",
    "Until",
    "anthropic_server",
]
MODEL = "claude-sonnet-4-6"


@dataclass(frozen=True)
class Begin:
    """`message_start`, with the count of what was read, and the placeholder for what will be written."""

    read: int = 7
    written_to_cache: int = 0
    read_from_cache: int = 0


@dataclass(frozen=True)
class Block:
    """`content_block_start`: a block of text, or of thinking, with what it may begin with."""

    kind: str = "text"
    text: str = ""


@dataclass(frozen=True)
class Say:
    """`content_block_delta` of a text."""

    text: str


@dataclass(frozen=True)
class Think:
    """`content_block_delta` of a thinking block."""

    text: str


@dataclass(frozen=True)
class Ping:
    """Sent at the start, and whenever the vendor likes."""


@dataclass(frozen=True)
class Stop:
    """`content_block_stop`, then `message_delta` with the reason and the count of what was written."""

    reason: str | None = "end_turn"
    written: int | None = 2


@dataclass(frozen=True)
class End:
    """`message_stop`."""


@dataclass(frozen=True)
class Fail:
    """`error`, in the middle of a stream."""

    kind: str = "overloaded_error"
    message: str = "internal text of the vendor"


Step = Begin | Block | Say | Think | Ping | Stop | End | Fail | Scripted
ANSWER: tuple[Step, ...] = (Begin(), Block(), Ping(), Say("Yes."), Stop(), End())


def event(value: Any) -> bytes:
    """One server-sent event with its name, as the vendor sends it."""
    if isinstance(value, str):
        return f"data: {value}\n\n".encode()
    return f"event: {value.get('type')}\ndata: {json.dumps(value)}\n\n".encode()


class AnthropicServer(ScriptedServer):
    """The vendor's shapes; what its counter says, or the fault in the place of that."""

    path = "/v1/messages"

    def __init__(self) -> None:
        super().__init__({MODEL}, ANSWER)
        self.count: Any = 12
        self.count_fault: Refuse | Until | None = None
        self.counted: list[dict[str, Any]] = []

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/messages/count_tokens", self._count)

    def refusal(self, error: Any) -> Any:
        return {"type": "error", "error": error, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}

    def no_model(self, name: str) -> Any:
        return {"type": "not_found_error", "message": f"model: {name}"}

    def events(self, step: Any) -> bytes:
        match step:
            case Begin():
                return event(_message_start(step))
            case Block(kind, text):
                block = {"type": kind, kind: text, **({"signature": ""} if kind == "thinking" else {})}
                return event({"type": "content_block_start", "index": 0, "content_block": block})
            case Think(text):
                return event(_delta({"type": "thinking_delta", "thinking": text}))
            case Ping():
                return event({"type": "ping"})
            case Stop(reason, written):
                usage = {} if written is None else {"usage": {"output_tokens": written}}
                delta = {"stop_reason": reason, "stop_sequence": None}
                return event({"type": "content_block_stop", "index": 0}) + event(
                    {"type": "message_delta", "delta": delta, **usage}
                )
            case End():
                return event({"type": "message_stop"})
            case Fail(kind, message):
                return event(self.refusal({"type": kind, "message": message}))
            case Data(value):
                return event(value)
        return event(_delta({"type": "text_delta", "text": step.text if isinstance(step, Say) else step}))

    async def _count(self, request: web.Request) -> web.Response:
        self.counted.append(await request.json())
        if isinstance(self.count_fault, Until):
            await self.count_fault.event.wait()
        if isinstance(self.count_fault, Refuse):
            return web.json_response(self.refusal(self.count_fault.error), status=self.count_fault.status)
        return web.json_response({"input_tokens": self.count})


def _message_start(step: Begin) -> dict[str, Any]:
    usage = {
        "input_tokens": step.read,
        "cache_creation_input_tokens": step.written_to_cache,
        "cache_read_input_tokens": step.read_from_cache,
        "output_tokens": 1,
        "service_tier": "standard",
    }
    message = {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    return {"type": "message_start", "message": message}


def _delta(delta: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def anthropic_server() -> AbstractAsyncContextManager[AnthropicServer]:
    """A running server; it ends with the block."""
    return running(AnthropicServer())
