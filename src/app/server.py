"""uvicorn, set up for long-lived sockets."""

from __future__ import annotations

import asyncio
import gc
import os

import uvicorn
from starlette.applications import Starlette

from app.asgi import create_app
from app.embedded.processes import end_with_parent
from app.ending import GRACE_SECONDS
from app.preflight import check_serve
from app.request_protocol import request_protocol
from app.serving_processes import ServingProcesses
from app.socket_protocol import socket_protocol
from core.logging import configure_logging
from core.settings import Settings, settings_from_environment

_HEALTH_SECONDS = 20
"""So long may a process take to be ready, or hang, until another one takes its place. Starting takes two to five."""


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


def serve(settings: Settings, processes: int = 1) -> int:
    """Serve until a signal says stop; the exit status. Raises `ConfigurationError` before anything is served."""
    if processes > 1:
        return _serve_in_processes(settings, processes)
    config = server_config(create_app(settings, alone=True), settings)
    server = uvicorn.Server(config)
    # One loop for both: the check may open a channel to a hosted model, which does not move to another loop.
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(check_serve(settings))
        runner.run(server.serve())
    return 0 if server.started else 1


def _serve_in_processes(settings: Settings, processes: int) -> int:
    """Several processes on one listening socket, which this one holds: none of them takes waiting connections with it.

    `app.serving_processes` looks after them.
    """
    asyncio.run(check_serve(settings))
    configure_logging(production=settings.environment == "production")
    config = _ProcessConfig(
        "app.asgi:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=processes,
        log_config=None,
        timeout_worker_healthcheck=_HEALTH_SECONDS,
    )
    listening = config.bind_socket()
    # At its end the interpreter would look through all that it holds: a second and more, which the end does not have.
    gc.freeze()
    try:
        return ServingProcesses(config, [listening]).run()
    finally:
        listening.close()


class _ProcessConfig(uvicorn.Config):
    """Sent to a process it becomes the one that the process serves by: made there, of the same environment."""

    def __reduce__(self) -> tuple[object, ...]:
        return _config_of_process, (os.getpid(),)


def _config_of_process(parent: int) -> uvicorn.Config:
    end_with_parent(parent)
    settings = settings_from_environment()
    return server_config(create_app(settings, alone=True), settings)
