"""A local stand-in for an OpenAI-compatible server's `embeddings`: OpenAI's, Ollama's, vLLM's or Gemini's, as a test
has it. The shapes of its answers and refusals are theirs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from aiohttp import web

from openai_server import Asked, Cut, Page, Raw, Refuse, Until

Fault = Refuse | Page | Raw | Until | Cut


def vector_of(text: str, dimensions: int) -> list[float]:
    """A text's own direction, and a length that is not 1, as shortened vectors have."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return [float(value) for value in np.random.default_rng(seed).normal(size=dimensions).astype(np.float32)]


class EmbeddingsServer:
    """Plays the next of `faults` for as long as there is one; else it embeds, as the server that it is made to be."""

    def __init__(self) -> None:
        self.base_url = ""
        self.faults: list[Fault] = []
        self.fault: Fault | None = None
        """Played to every question once `faults` are used up."""
        self.size = 1536
        """The model's own dimensions."""
        self.cuts = True
        """Whether it knows `dimensions`; else it ignores them."""
        self.refuses: tuple[str, ...] = ()
        """Parameters that it refuses by name, as vLLM does for a model that cannot be cut."""
        self.most_texts = 2_048
        self.base64 = True
        """Whether it knows the format; else it sends numbers."""
        self.vectors: Callable[[str, int], list[Any]] = vector_of
        self.arrange: Callable[[list[dict[str, Any]]], Any] = lambda data: data
        """What becomes of the list of embeddings."""
        self.models = {"text-embedding-3-small"}
        self.asked: list[Asked] = []
        self.arrived = asyncio.Event()
        self.cancelled = asyncio.Event()
        """A client hung up before it was answered."""
        app = web.Application()
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_get("/v1/models/{model:.+}", self._model)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        await self._runner.cleanup()

    @property
    def batches(self) -> list[int]:
        """How many texts each question had, but for the one by which a process warms up."""
        return [len(asked.body["input"]) for asked in self.asked if asked.body["input"] != ["warm"]]

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        if name not in self.models:
            return web.json_response({"error": {"message": f"The model '{name}' does not exist"}}, status=404)
        return web.json_response({"id": name, "object": "model"})

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert request.transport is not None
        self.asked.append(Asked(request.path, body, headers, request.transport.get_extra_info("peername")))
        self.arrived.set()
        fault = self.faults.pop(0) if self.faults else self.fault
        ended = False
        try:
            answer = await self._faulty(fault, request) if fault else self._answer(body)
            ended = True
            return answer
        finally:
            if not ended:
                self.cancelled.set()

    async def _faulty(self, fault: Fault, request: web.Request) -> web.StreamResponse:
        match fault:
            case Refuse(status, error, headers):
                return web.json_response({"error": error}, status=status, headers=headers)
            case Page(text, content_type):
                return web.Response(text=text, content_type=content_type)
            case Until(signal):
                await signal.wait()
                return self._answer(await request.json())
            case Raw(data):
                # So much of a longer body, and then no more.
                response = web.StreamResponse(headers={"Content-Type": "application/json"})
                response.content_length = len(data) + 100
                await response.prepare(request)
                await response.write(data)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _answer(self, body: dict[str, Any]) -> web.Response:
        for name in self.refuses:
            if name in body:
                return _refusal(f"Unsupported parameter: '{name}' is not supported with this model.")
        if len(body["input"]) > self.most_texts:
            # Text Embeddings Inference's words, and its status.
            return _refusal(f"batch size {len(body['input'])} > maximum allowed batch size {self.most_texts}", 413)
        size = body.get("dimensions", self.size) if self.cuts else self.size
        data = [
            {"object": "embedding", "index": index, "embedding": self._encoded(self.vectors(text, size), body)}
            for index, text in enumerate(body["input"])
        ]
        tokens = sum(len(text.split()) for text in body["input"])
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return web.json_response({"object": "list", "data": self.arrange(data), "model": body["model"], "usage": usage})

    def _encoded(self, vector: list[Any], body: dict[str, Any]) -> Any:
        if self.base64 and body.get("encoding_format") == "base64":
            return base64.b64encode(np.array(vector, dtype="<f4").tobytes()).decode()
        return vector


def _refusal(message: str, status: int = 400) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return web.json_response({"error": error}, status=status)


@asynccontextmanager
async def embeddings_server() -> AsyncIterator[EmbeddingsServer]:
    """A running server; it ends with the block."""
    server = EmbeddingsServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
