"""The end of a connection whose peer takes nothing more: uvicorn alone would keep it for as long as TCP lets it."""

from __future__ import annotations

import asyncio
import base64
import os
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import aiohttp
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from app.server import server_config
from app.slow_peers import SEND_BUFFER_BYTES, WRITE_BUFFER_BYTES
from app.socket_protocol import EXTENSION, SocketProtocol
from core.settings import Settings
from owner import until
from product import Server


class Watched(SocketProtocol):
    """A connection that the test can look at, and that waits less long for the end of a closing handshake."""

    open: ClassVar[set[Watched]] = set()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.close_timeout = 0.2

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        Watched.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        Watched.open.discard(self)


async def _say_more_than_fits_and_close(socket: WebSocket) -> None:
    await socket.accept()
    (connection,) = Watched.open
    while not connection.transport.get_write_buffer_size():
        await socket.send_text("x" * 16_384)
        await asyncio.sleep(0)
    await socket.close(4403)


SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 70_000)
"""Around the three forms of a frame's head (RFC 6455, 5.2)."""


async def _write_texts(socket: WebSocket) -> None:
    await socket.accept()
    connection = (socket.scope["extensions"] or {})[EXTENSION]
    for size in SIZES:
        while not connection.write_text(b"x" * (size // 2), b"x" * (size - size // 2)):  # noqa: ASYNC110 - a turn of the loop
            await asyncio.sleep(0)
    await socket.close()


@asynccontextmanager
async def _serving(*, deflate: bool) -> AsyncIterator[str]:
    app = Starlette(routes=[WebSocketRoute("/", _write_texts)])
    config = server_config(app, Settings(), grace_seconds=1)
    config.port, config.lifespan, config.ws_per_message_deflate = 0, "off", deflate
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    await server.ready.wait()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


@pytest.mark.parametrize("deflate", [False, True])
async def test_texts_of_any_size_arrive_as_they_are_and_uncompressed_whatever_is_asked_for(*, deflate: bool) -> None:
    async with (
        _serving(deflate=deflate) as url,
        aiohttp.ClientSession() as http,
        http.ws_connect(url, compress=15, max_msg_size=0) as socket,
    ):
        assert not socket.compress
        got = [message.data async for message in socket]
    assert got == ["x" * size for size in SIZES]


def test_the_product_compresses_no_messages() -> None:
    assert not server_config(Starlette(), Settings()).ws_per_message_deflate


async def test_buffers_are_bounded() -> None:
    app = Starlette(routes=[WebSocketRoute("/", _say_more_than_fits_and_close)])
    config = server_config(app, Settings(), grace_seconds=1)
    config.ws, config.ws_protocol_class, config.port, config.lifespan = Watched, Watched, 0, "off"
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    await server.ready.wait()
    address = server.servers[0].sockets[0].getsockname()
    async with aiohttp.ClientSession() as http, http.ws_connect(f"http://127.0.0.1:{address[1]}"):
        (connection,) = Watched.open
        kernel = connection.transport.get_extra_info("socket").getsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF)
        assert kernel <= 2 * SEND_BUFFER_BYTES
        assert connection.transport.get_write_buffer_limits()[1] == WRITE_BUFFER_BYTES
    server.should_exit = True
    await serving


async def test_after_a_close_frame_a_peer_that_reads_nothing_is_dropped() -> None:
    app = Starlette(routes=[WebSocketRoute("/", _say_more_than_fits_and_close)])
    config = server_config(app, Settings(), grace_seconds=1)
    config.ws, config.ws_protocol_class = Watched, Watched
    config.port, config.lifespan = 0, "off"
    listening = sockets.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve([listening]))
    client = sockets.socket()
    client.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(client, listening.getsockname())
        key = base64.b64encode(os.urandom(16))
        await loop.sock_sendall(
            client,
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n",
        )
        assert b" 101 " in await loop.sock_recv(client, 64)

        async def closing() -> bool:
            return any(connection.close_sent for connection in Watched.open)

        async def dropped() -> bool:
            return not Watched.open

        await until(closing)
        async with asyncio.timeout(5):
            await until(dropped)
    finally:
        client.close()
        server.should_exit = True
        await serving
        listening.close()
