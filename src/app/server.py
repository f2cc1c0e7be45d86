"""uvicorn, set up for long-lived sockets."""

from __future__ import annotations

import asyncio
import gc
import socket

import uvicorn
from starlette.applications import Starlette

from app.asgi import create_app
from app.preflight import check_serve
from app.request_protocol import request_protocol
from app.socket_protocol import socket_protocol
from core.settings import Settings

GRACE_SECONDS = 5


def server_config(app: Starlette, settings: Settings, *, grace_seconds: int = GRACE_SECONDS) -> uvicorn.Config:
    """How the API is served."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        http=request_protocol(settings),
        ws=socket_protocol(settings),
        ws_max_size=settings.socket_message_bytes,
        # Tokens are too small to be worth compressing, and a compressor costs 300 kB a socket.
        ws_per_message_deflate=False,
        ws_ping_interval=settings.socket_ping_interval,
        ws_ping_timeout=settings.socket_ping_timeout,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=grace_seconds,
        server_header=False,
    )


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is there now stays: modules, the schema. A full collection would look at all of it, and hold up every
        # stream for as long.
        gc.collect()
        gc.freeze()


def serve(settings: Settings) -> int:
    """Serve until a signal says stop; the exit status. Raises `ConfigurationError` before anything is served."""
    config = server_config(create_app(settings), settings)
    server = _Server(config)
    # One loop for both: the check may open a channel to a hosted model, which does not move to another loop.
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(check_serve(settings))
        runner.run(server.serve())
    return 0 if server.started else 1
