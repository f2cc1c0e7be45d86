"""The provider: the tests' stand-in, streaming numbered tokens that carry the moment at which they were written.

python -m chats_parts.provider TOKENS TOKENS_PER_SECOND    prints its base URL, and serves until it is ended
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import openai_server
from openai_server import Done, OpenAIServer, Say, Step, Usage

BEFORE, AFTER = openai_server.chunk("#").split(b"#")


@dataclass(frozen=True)
class Stamped:
    """So many tokens ` number:moment`, the moment on this machine's monotonic clock."""

    tokens: int
    per_second: float
    before: float
    """Seconds to the first one."""


class StampingServer(OpenAIServer):
    """Answers each question with the same count of tokens."""

    async def _play(self, step: Step | Stamped, response: web.StreamResponse, request: web.Request) -> None:
        if not isinstance(step, Stamped):
            await super()._play(step, response, request)
            return
        await asyncio.sleep(step.before)
        began = time.monotonic()
        for number in range(step.tokens):
            due = began + number / step.per_second
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            await response.write(b"%b %d:%.5f%b" % (BEFORE, number, time.monotonic(), AFTER))


async def serve(tokens: int, per_second: float, before: float) -> None:
    server = StampingServer()
    server.script = [Stamped(tokens, per_second, before), Say(finish="stop"), Usage(100, tokens), Done()]
    await server.start()
    print(server.base_url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
