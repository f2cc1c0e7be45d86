"""What the stand-ins of vendors that stream over HTTP have in common: a script that is played, what was asked, faults.

They record what they were asked, and know when a client has hung up. A `Pace` streams at a rate on a schedule of its
own, so that benches can have many streams of it at little cost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web


@dataclass(frozen=True)
class Data:
    """One event with this data: an object, or text that need not be JSON."""

    value: Any


@dataclass(frozen=True)
class Raw:
    """Bytes of the body."""

    data: bytes


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


Scripted = Data | Raw | Refuse | Page | Until | Cut | Pace
"""Steps that any vendor's script may have, beside those of its own."""


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


class ScriptedServer:
    """Answers `script` to each question, or the next of `scripts` for as long as there is one; knows `models`."""

    path: str
    """Where questions are asked."""

    def __init__(self, models: set[str], answer: Sequence[Any]) -> None:
        self.base_url = ""
        self._answer = list(answer)
        self.script: list[Any] = list(answer)
        self.scripts: list[list[Any]] = []
        self.models = models
        self.models_status = 200
        self.asked: list[Asked] = []
        """Questions; looking a model up is none."""
        self.arrived = asyncio.Event()
        self.cancelled = asyncio.Event()
        """A client hung up before its stream had ended."""
        app = web.Application()
        app.router.add_post(self.path, self._complete)
        app.router.add_get("/v1/models/{model:.+}", self._model)
        self.add_routes(app)
        # `handler_cancellation`: the handler learns at once that its client is gone.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)

    def add_routes(self, app: web.Application) -> None:
        """Of the vendor's own."""

    def refusal(self, error: Any) -> Any:
        """The body of an error."""
        return {"error": error}

    def no_model(self, name: str) -> Any:
        """The error for a model that is none."""
        return {"message": f"The model '{name}' does not exist", "code": "model_not_found", "param": "model"}

    def events(self, step: Any) -> bytes:
        """A step of the vendor's own, or `Data`, or a text of `Pace`, as it is sent."""
        raise NotImplementedError

    def renew(self) -> None:
        """As if nothing had been asked, with the script of the start."""
        self.script, self.scripts, self.asked = list(self._answer), [], []
        self.arrived.clear()
        self.cancelled.clear()

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
            return web.json_response(self.refusal({"message": "no"}), status=self.models_status)
        if name not in self.models:
            return web.json_response(self.refusal(self.no_model(name)), status=404)
        return web.json_response({"id": name, "object": "model"})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        script = self.scripts.pop(0) if self.scripts else list(self.script)
        self._record(request, body)
        match script:
            case [Refuse(status, error, headers), *_]:
                return web.json_response(self.refusal(error), status=status, headers=headers)
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

    async def _play(self, step: Any, response: web.StreamResponse, request: web.Request) -> None:
        match step:
            case Raw(data):
                await response.write(data)
            case Until(signal):
                await signal.wait()
            case Cut():
                assert request.transport is not None
                request.transport.abort()
                raise ConnectionError
            case Pace(texts, per_second):
                await _stream_at(response, [self.events(text) for text in texts], per_second)
            case Refuse() | Page():
                raise AssertionError("only in the place of a stream")
            case _:
                await response.write(self.events(step))

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


Server = TypeVar("Server", bound=ScriptedServer)


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    """The server, started; it ends with the block."""
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
