"""A local stand-in for a server with `POST rerank`, in the shapes of Cohere, Jina and vLLM."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from scripted_server import Asked, Page, Refuse, Until

Fault = Refuse | Page | Until


class RerankServer:
    """Judges by `judge`, or plays `fault`."""

    def __init__(self) -> None:
        self.base_url = ""
        self.judge: Callable[[str, str], Any] = lambda query, document: 0.0
        self.fault: Fault | None = None
        self.arrange: Callable[[list[dict[str, Any]]], Any] = lambda results: results
        self.asked: list[Asked] = []
        self.cancelled = asyncio.Event()
        app = web.Application()
        app.router.add_post("/v1/rerank", self._rerank)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _rerank(self, request: web.Request) -> web.Response:
        body = await request.json()
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert request.transport is not None
        self.asked.append(Asked(request.path, body, headers, request.transport.get_extra_info("peername")))
        match self.fault:
            case Refuse(status, error, more):
                return web.json_response({"message": error}, status=status, headers=more)
            case Page(text, content_type):
                return web.Response(text=text, content_type=content_type)
            case Until(signal):
                try:
                    await signal.wait()
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
        results = [
            {"index": index, "relevance_score": self.judge(body["query"], document)}
            for index, document in enumerate(body["documents"])
        ]
        results.sort(key=lambda result: -result["relevance_score"])
        return web.json_response({"id": "rerank-1", "results": self.arrange(results), "meta": {}})


@asynccontextmanager
async def rerank_server() -> AsyncIterator[RerankServer]:
    """A running server; it ends with the block."""
    server = RerankServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
