"""The least that forwards a chat: a Starlette WebSocket that reads the provider with aiohttp and sends each token on.

python -m chats_parts.bare_proxy PROVIDER_URL PORT
"""

from __future__ import annotations

import sys

import aiohttp
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

PROVIDER = sys.argv[1] if len(sys.argv) > 1 else ""
session: aiohttp.ClientSession | None = None


async def chat(socket: WebSocket) -> None:
    """One question, one answer."""
    global session
    if session is None:
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    await socket.accept()
    question = await socket.receive_text()
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": question}]}
    async with session.post(f"{PROVIDER}/chat/completions", json=body) as response:
        async for line in response.content:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            choices = orjson.loads(line[6:])["choices"]
            if choices and (text := choices[0]["delta"].get("content")):
                await socket.send_text(orjson.dumps({"type": "token", "text": text}).decode())
    await socket.send_text('{"type":"end"}')
    await socket.close()


app = Starlette(routes=[WebSocketRoute("/chat", chat)])

if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[2]),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        log_level="error",
        loop="uvloop",
    )
