"""A request's line and headers: how large they may be, and how long they may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from app.request_protocol import HEAD_BYTES
from core.settings import Settings
from product import Product, running_product

SECONDS = 0.5
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
async def brisk(settings: Settings) -> AsyncIterator[Product]:
    """A product that waits half a second for a request."""
    async with running_product(settings.model_copy(update={"request_timeout": SECONDS}), worker=False) as product:
        yield product


async def connect(product: Product) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which nothing has been sent."""
    address = urlsplit(product.url)
    return await asyncio.open_connection(address.hostname, address.port)


async def answer(product: Product, *pieces: bytes) -> bytes:
    """The status line's status, after these pieces, each sent when the one before has been taken."""
    reader, writer = await connect(product)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return (await reader.readuntil(b"\r\n")).split()[1]
    except (ConnectionError, asyncio.IncompleteReadError):
        return b"closed"
    finally:
        writer.close()


async def test_a_head_of_the_usual_size_is_read_however_it_arrives(product: Product) -> None:
    head = GET + b"X-Long: " + b"x" * (HEAD_BYTES - 200) + b"\r\n\r\n"
    assert await answer(product, head) == b"200"
    assert await answer(product, *(head[start : start + 5_000] for start in range(0, len(head), 5_000))) == b"200"


@pytest.mark.parametrize(
    "head",
    [
        GET + b"X-Long: " + b"x" * HEAD_BYTES + b"\r\n\r\n",
        GET + b"X-Many: x\r\n" * (HEAD_BYTES // 7) + b"\r\n",
        b"GET /healthz?" + b"x" * HEAD_BYTES + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["one long header", "many headers", "a long address"],
)
async def test_a_head_that_is_too_large_is_refused(product: Product, head: bytes) -> None:
    assert await answer(product, head) == b"431"


async def _send_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def test_a_head_without_an_end_is_refused_before_it_fills_the_memory(product: Product) -> None:
    _, writer = await connect(product)
    writer.write(GET + b"X-Long: ")
    with pytest.raises(ConnectionError):  # it closes, whatever is still sent
        await _send_for_ever(writer)
    writer.close()


async def test_a_head_that_does_not_end_in_time_is_given_up(brisk: Product) -> None:
    reader, writer = await connect(brisk)
    writer.write(GET)
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_a_connection_on_which_nothing_comes_is_given_up(brisk: Product) -> None:
    reader, writer = await connect(brisk)
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_a_connection_that_is_used_goes_on_for_longer_than_a_head_may_take(brisk: Product) -> None:
    reader, writer = await connect(brisk)
    loop = asyncio.get_running_loop()
    until = loop.time() + 3 * SECONDS
    while loop.time() < until:
        writer.write(GET + b"\r\n")
        assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
        await reader.readuntil(b'{"status":"ok"}')
    # A request that comes slower than that, on a connection that was good so far.
    writer.write(GET)
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    writer.close()


POST = b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
REFUSED = b"HTTP/1.1 405 Method Not Allowed\r\n"


async def answered(reader: asyncio.StreamReader) -> bytes:
    """The next response's first line; the rest of it is read, too."""
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
    return head.partition(b"\r\n")[0] + b"\r\n"


@pytest.mark.parametrize(
    ("request_", "first", "then"),
    [
        (GET + b"\r\n", b"HTTP/1.1 200 OK\r\n", b"\r\n"),
        (POST, REFUSED, b"x"),
        (POST, REFUSED, b"x" * 99_999),
        (POST, REFUSED, b"x" * 100_000),
    ],
    ids=["an empty line", "one byte of a body", "almost all of a body", "all of a body"],
)
async def test_what_is_sent_after_an_answer_holds_no_connection(
    brisk: Product, request_: bytes, first: bytes, then: bytes
) -> None:
    reader, writer = await connect(brisk)
    writer.write(request_)
    assert await answered(reader) == first
    writer.write(then)
    async with asyncio.timeout(10):
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    writer.close()


@pytest.mark.parametrize(
    "pieces",
    [
        (b"x" * (HEAD_BYTES - 4) + GET[:4], GET[4:9], GET[9:]),
        (b"x" * HEAD_BYTES, b"\r\n", GET),
    ],
    ids=["in one piece with the body's end", "in pieces of its own"],
)
async def test_a_request_behind_a_large_body_is_not_taken_for_a_large_head(
    product: Product, pieces: tuple[bytes, ...]
) -> None:
    reader, writer = await connect(product)
    writer.write(POST)
    assert await answered(reader) == REFUSED
    body = sum(piece.count(b"x") for piece in pieces)
    writer.write(b"x" * (100_000 - body))
    # The first piece is as much as the server takes at once.
    for piece in pieces:
        assert await answer(product, GET + b"\r\n") == b"200"
        writer.write(piece)
    assert await answer(product, GET + b"\r\n") == b"200"
    writer.write(b"\r\n")
    assert await answered(reader) == b"HTTP/1.1 200 OK\r\n"
    writer.close()


async def test_a_socket_stays_open_for_longer_than_a_head_may_take(brisk: Product) -> None:
    person = await brisk.sign_up()
    async with brisk.socket(person.token) as socket:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.receive(), 2 * SECONDS)
        await socket.send_json({"type": "ping"})
        assert (await socket.receive_json())["type"] == "pong"
