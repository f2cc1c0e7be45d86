"""Operations that come at once begin one after another: in between, the streams beside them go on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from core.tasks import end_tasks
from product import Product
from streams import SSE

MISSPELT = "mutation { signIn(input: {" + " ".join(f'passwor{n}: "x"' for n in range(99)) + "}) { __typename } }"
"""Some 20 ms of CPU in one piece, most of them for messages that graphql-core writes and nobody is told."""
BURST, ALONE = 16, 3
Ask = Callable[[], Awaitable[None]]


@pytest.fixture(params=["POST", "GET", "SSE", "socket"])
async def ask(product: Product, request: pytest.FixtureRequest) -> AsyncIterator[Ask]:
    """Send the operation once, over a connection of its own, and have the answer."""
    url = f"{product.url}/graphql"

    async def post() -> None:
        async with product.http.post(url, json={"query": MISSPELT}) as response:
            assert "errors" in json.loads(await response.read())

    async def get() -> None:
        async with product.http.get(url, params={"query": MISSPELT}) as response:
            assert "errors" in json.loads(await response.read())

    async def stream() -> None:
        async with product.http.post(url, json={"query": MISSPELT}, headers={"accept": SSE}) as response:
            assert b'"errors"' in await response.read()

    @asynccontextmanager
    async def open_sockets() -> AsyncIterator[Ask]:
        opened = []
        for _ in range(BURST + ALONE):
            socket = await product.http.ws_connect(url, protocols=("graphql-transport-ws",))
            await socket.send_json({"type": "connection_init"})
            assert (await socket.receive_json())["type"] == "connection_ack"
            opened.append(socket)
        free = list(opened)

        async def over_a_socket() -> None:
            socket = free.pop()
            await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": MISSPELT}})
            assert (await socket.receive_json())["type"] == "error"

        yield over_a_socket
        for socket in opened:
            await socket.close()

    if request.param == "socket":
        async with open_sockets() as over_a_socket:
            yield over_a_socket
    else:
        yield {"POST": post, "GET": get, "SSE": stream}[request.param]


async def pieces_of(work: Awaitable[object]) -> list[float]:
    """The CPU seconds that the loop took between each two of its turns while that was done, the most first."""
    pieces: list[float] = []

    async def watch() -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            pieces.append(now - before)
            before = now

    watching = asyncio.create_task(watch())
    await work
    await end_tasks([watching])
    return sorted(pieces, reverse=True)


async def test_a_burst_is_worked_off_in_pieces_of_one_operation(ask: Ask) -> None:
    # The least of three: one may be what the garbage collector takes.
    one = min([(await pieces_of(ask()))[0] for _ in range(ALONE)])
    pieces = await pieces_of(asyncio.gather(*(ask() for _ in range(BURST))))
    # Without the gate two or three pieces have them all.
    assert len([piece for piece in pieces if piece > one / 2]) > BURST / 2
