"""A local stand-in for an OpenAI-compatible server: `chat/completions` as a stream, and `models/{model}`.

It serves what a test scripts, records what it was asked, and knows when a client has hung up. A `Pace` streams at a
rate on a schedule of its own, so that benches can have many streams of it at little cost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


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
class Data:
    """One event with this data: an object, or text that need not be JSON."""

    value: Any


@dataclass(frozen=True)
class Raw:
    """Bytes of the body."""

    data: bytes


@dataclass(frozen=True)
class Done:
    """The end of the stream, as it should be."""


@dataclass(frozen=True)
class Refuse:
    """In the place of a stream: an error with this status."""

    status: int
    error: Any = field(default_factory=lambda: {"message": "internal text of the vendor"})
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """In the place of a stream: something else, with a good status."""

    body: str
    content_type: str


@dataclass(frozen=True)
class Until:
    """Say nothing until the event; a fresh event is a hang."""

    event: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Cut:
    """The TCP connection breaks."""


@dataclass(frozen=True)
class Pace:
    """So many chunks at so many a second, by the clock: a late one is not made up for by being later still."""

    texts: Sequence[str]
    per_second: float


Step = Say | Usage | Data | Raw | Done | Refuse | Page | Until | Cut | Pace
ANSWER: tuple[Step, ...] = (Say("Yes."), Say(finish="stop"), Usage(), Done())


@dataclass(frozen=True)
class Asked:
    """One request as received."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    peer: tuple[str, int]


def event(value: Any) -> bytes:
    """One server-sent event."""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"data: {text}\n\n".encode()


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


class OpenAIServer:
    """Answers `script` to each question, or the next of `scripts` for as long as there is one; knows `models`."""

    def __init__(self) -> None:
        self.base_url = ""
        self.script: list[Step] = list(ANSWER)
        self.scripts: list[list[Step]] = []
        self.models = {"gpt-4.1-mini"}
        self.models_status = 200
        self.asked: list[Asked] = []
        """Questions; looking a model up is none."""
        self.arrived = asyncio.Event()
        self.cancelled = asyncio.Event()
        """A client hung up before its stream had ended."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models/{model:.+}", self._model)
        # `handler_cancellation`: the handler learns at once that its client is gone.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)

    async def start(self, port: int = 0) -> None:
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", port)
        await self._site.start()
        self.port = self._runner.addresses[0][1]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def go_away(self) -> None:
        """Nobody listens at the address any more."""
        await self._site.stop()

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        if self.models_status != 200:
            return web.json_response({"error": {"message": "no"}}, status=self.models_status)
        if name not in self.models:
            error = {"message": f"The model '{name}' does not exist", "code": "model_not_found", "param": "model"}
            return web.json_response({"error": error}, status=404)
        return web.json_response({"id": name, "object": "model"})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        script = self.scripts.pop(0) if self.scripts else list(self.script)
        self._record(request, body)
        match script:
            case [Refuse(status, error, headers), *_]:
                return web.json_response({"error": error}, status=status, headers=headers)
            case [Page(text, content_type), *_]:
                return web.Response(text=text, content_type=content_type)
        ended = False
        try:
            if script and isinstance(script[0], Until):
                # A model that thinks sends not even a header.
                await script.pop(0).event.wait()
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
            await response.prepare(request)
            for step in script:
                await self._play(step, response, request)
            await response.write_eof()
            ended = True
            return response
        except ConnectionError:
            return response
        finally:
            if not ended:
                self.cancelled.set()

    async def _play(self, step: Step, response: web.StreamResponse, request: web.Request) -> None:
        match step:
            case Say(text, finish):
                await response.write(chunk(text, finish))
            case Usage(prompt, completion):
                counts = {"prompt_tokens": prompt, "completion_tokens": completion}
                await response.write(event({"choices": [], "usage": counts}))
            case Data(value):
                await response.write(event(value))
            case Raw(data):
                await response.write(data)
            case Done():
                await response.write(event("[DONE]"))
            case Until(signal):
                await signal.wait()
            case Cut():
                assert request.transport is not None
                request.transport.abort()
                raise ConnectionError
            case Pace(texts, per_second):
                await _stream_at(response, [chunk(text) for text in texts], per_second)
            case Refuse() | Page():
                raise AssertionError("only in the place of a stream")

    def _record(self, request: web.Request, body: dict[str, Any]) -> None:
        assert request.transport is not None
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(request.path, body, headers, request.transport.get_extra_info("peername")))
        self.arrived.set()


async def _stream_at(response: web.StreamResponse, chunks: list[bytes], per_second: float) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    sent = 0
    while sent < len(chunks):
        due = min(len(chunks), int((loop.time() - began) * per_second) + 1)
        for data in chunks[sent:due]:
            await response.write(data)
        sent = due
        await asyncio.sleep(max(0.0, began + sent / per_second - loop.time()))


@asynccontextmanager
async def openai_server() -> AsyncIterator[OpenAIServer]:
    """A running server; it ends with the block."""
    server = OpenAIServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
