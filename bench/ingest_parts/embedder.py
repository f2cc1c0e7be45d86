"""The provider: the tests' stand-in for an OpenAI-compatible server, which takes so long for each batch.

python -m ingest_parts.embedder SECONDS    prints its base URL, and serves until it is ended
"""

from __future__ import annotations

import asyncio
import base64
import sys
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from openai_embeddings import EmbeddingsServer

POOL = 4_096
"""Vectors that it has: to make one for each text would cost more than all that is measured."""


class SlowEmbeddings(EmbeddingsServer):
    """Waits, and embeds. Calls do not wait for each other."""

    def __init__(self, seconds: float, dimensions: int) -> None:
        super().__init__()
        rows = np.random.default_rng(7).normal(size=(POOL, dimensions)).astype("<f4")
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        self._vectors = [base64.b64encode(row.tobytes()).decode() for row in rows]
        self._seconds = seconds

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = await request.json()
        await asyncio.sleep(self._seconds)
        data = [
            {"object": "embedding", "index": index, "embedding": self._vectors[hash(text) % POOL]}
            for index, text in enumerate(body["input"])
        ]
        usage = {"prompt_tokens": len(data), "total_tokens": len(data)}
        return web.json_response({"object": "list", "data": data, "model": body["model"], "usage": usage})


async def serve(seconds: float, dimensions: int) -> None:
    server = SlowEmbeddings(seconds, dimensions)
    await server.start()
    print(server.base_url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(float(sys.argv[1]), int(sys.argv[2])))
