"""uvicorn, set up for long-lived sockets."""

from __future__ import annotations

import uvicorn

from app.asgi import create_app
from core.settings import Settings

WS_MAX_BYTES = 1024 * 1024
"""The largest WebSocket message that is accepted: a question is far smaller."""
GRACE_SECONDS = 5


def serve(settings: Settings) -> int:
    """Serve until a signal says stop; the exit status."""
    server = uvicorn.Server(
        uvicorn.Config(
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
    )
    server.run()
    return 0 if server.started else 1
