"""uvicorn, set up for long-lived sockets."""

from __future__ import annotations

import asyncio

import uvicorn

from app.asgi import create_app
from app.preflight import check_serve
from core.settings import Settings

WS_MAX_BYTES = 1024 * 1024
"""The largest WebSocket message that is accepted: a question is far smaller."""
GRACE_SECONDS = 5


def serve(settings: Settings) -> int:
    """Serve until a signal says stop; the exit status. Raises `ConfigurationError` before anything is served."""
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        ws="websockets-sansio",
        ws_max_size=WS_MAX_BYTES,
        # Tokens are too small to be worth compressing, and a compressor costs 300 kB a socket.
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )
    server = uvicorn.Server(config)
    # One loop for both: the check may open a channel to a hosted model, which does not move to another loop.
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(check_serve(settings))
        runner.run(server.serve())
    return 0 if server.started else 1
