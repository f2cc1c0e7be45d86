"""Viewers over HTTP that read slowly, or not at all: they are held to what viewers on a socket are held to."""

from __future__ import annotations

import asyncio
import json
import re
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.request_protocol import RequestProtocol
from app.slow_peers import SEND_BUFFER_BYTES
from core.settings import Settings
from datastores.answer_events import Completed, Delta, Started
from held_answer import WATCH, HeldAnswer, hold_answer, nobody_watches, watching
from owner import until
from product import Product, running_product
from streams import MULTIPART, SSE

pytestmark = pytest.mark.timeout(60)  # megabytes go through a process that is shared with their readers
BOTH = pytest.mark.parametrize("accept", [SSE, MULTIPART], ids=["sse", "multipart"])
STALL = 1.5
PIECE = "a word, " * 512  # 4 KiB
PIECES = 400
END = {SSE: b"event: complete", MULTIPART: b"--graphql--"}
QUERY = b"GET /graphql?query=%7B__typename%7D HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def impatient(settings: Settings) -> AsyncIterator[Product]:
    """A product that soon ends streams which nobody reads, and gives ordinary responses all the time."""
    changed = {"socket_stall_timeout": STALL, "response_timeout": 600}
    async with running_product(settings.model_copy(update=changed), worker=False) as product:
        yield product


@pytest.fixture
async def answer(impatient: Product) -> HeldAnswer:
    """It has begun."""
    held = await hold_answer(await impatient.sign_up())
    await held.begin(Started(held.key[1], 1))
    return held


async def say_much(answer: HeldAnswer) -> str:
    """Say more than is kept for anybody, and the end; what has been said."""
    await answer.finish()
    for _ in range(PIECES // 40):
        await answer.append(*[Delta(PIECE)] * 40)
    await answer.append(Completed(answer.key[1]))
    return PIECE * PIECES


@asynccontextmanager
async def slow_stream(answer: HeldAnswer, accept: str) -> AsyncIterator[sockets.socket]:
    """The answer's stream for somebody who takes from the network what the test reads, and hardly more."""
    with connection() as client:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, answer.person.product.address)
        body = json.dumps({"query": WATCH, "variables": {"id": answer.id}}).encode()
        head = (
            f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {answer.person.token}\r\n"
            f"Accept: {accept}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        await loop.sock_sendall(client, head.encode() + body)
        yield client


def connection() -> sockets.socket:
    client = sockets.socket()
    client.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    client.setblocking(False)
    return client


def served(product: Product, client: sockets.socket) -> RequestProtocol:
    """The server's side of a connection."""
    assert product.server is not None
    (found,) = (one for one in product.server.server_state.connections if one.client == client.getsockname())
    assert isinstance(found, RequestProtocol)
    return found


def kernel_bytes(connection: RequestProtocol) -> int:
    size: int = connection.transport.get_extra_info("socket").getsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF)
    return size


async def read_on(client: sockets.socket) -> bytes:
    """What comes until the connection ends, be it abruptly."""
    got = b""
    try:
        while part := await asyncio.get_running_loop().sock_recv(client, 1 << 16):
            got += part
    except ConnectionResetError:
        pass
    return got


@BOTH
@pytest.mark.long
async def test_a_stream_that_nobody_reads_is_cut_without_an_end_and_goes_on_after_its_cursor(
    answer: HeldAnswer, accept: str
) -> None:
    loop = asyncio.get_running_loop()
    async with slow_stream(answer, accept) as client:
        got = await loop.sock_recv(client, 4_096)
        text = await say_much(answer)
        stalled = loop.time()
        await until(lambda: nobody_watches(answer))
        assert STALL < loop.time() - stalled < 2 * STALL
        got += await read_on(client)
    assert len(got) < 2 * SEND_BUFFER_BYTES + 64 * 1024
    assert END[accept] not in got
    assert not got.endswith(b"0\r\n\r\n")
    cursors = [match.decode() for match in re.findall(rb'"cursor":"([^"]+)"[^{}]*\}\}\}', got)]
    heard = "".join(match.decode() for match in re.findall(rb'"text":"([^"]*)"\}\}\}', got))
    assert heard
    assert text.startswith(heard)
    async with watching(answer.person) as watcher:
        await watcher.subscribe("1", WATCH, {"id": answer.id, "after": cursors[-1]})
        await watcher.until(1_000)
    assert heard + "".join(event.get("text", "") for event in watcher.events("1")) == text


@pytest.mark.long
async def test_a_stream_that_is_read_a_little_at_a_time_is_kept(answer: HeldAnswer) -> None:
    async with slow_stream(answer, SSE) as client:
        await say_much(answer)
        for _ in range(12):
            # The pace of a bad line; nothing is waited for.
            await asyncio.sleep(STALL / 3)
            await asyncio.get_running_loop().sock_recv(client, 6_000)
        assert not await nobody_watches(answer)


@pytest.mark.long
async def test_one_that_ends_while_its_client_reads_nothing_is_cut_too(answer: HeldAnswer) -> None:
    """What has been written to the end does not wait for ever, nor as long as an ordinary response."""
    product = answer.person.product
    async with slow_stream(answer, SSE) as client:
        await asyncio.get_running_loop().sock_recv(client, 4_096)
        watched = served(product, client)
        while not watched.transport.get_write_buffer_size():
            await answer.append(Delta(PIECE))
        await answer.finish()
        await answer.append(Completed(answer.key[1]))
        await until(lambda: nobody_watches(answer))

        async def dropped() -> bool:
            assert product.server is not None
            return watched not in product.server.server_state.connections

        async with asyncio.timeout(2 * STALL):
            await until(dropped)


@BOTH
async def test_the_kernel_keeps_little_of_a_stream_and_as_much_as_ever_of_a_response(
    answer: HeldAnswer, accept: str
) -> None:
    loop, product = asyncio.get_running_loop(), answer.person.product
    async with slow_stream(answer, accept) as client:
        head = await loop.sock_recv(client, 4_096)
        assert b"connection: close" in head.lower()
        bounded = kernel_bytes(served(product, client))
    with connection() as other:
        await loop.sock_connect(other, product.address)
        await loop.sock_sendall(other, QUERY)
        head = await loop.sock_recv(other, 4_096)
        assert head.startswith(b"HTTP/1.1 200")
        assert b"connection: close" not in head.lower()
        usual = kernel_bytes(served(product, other))
    assert bounded <= 2 * SEND_BUFFER_BYTES < usual
