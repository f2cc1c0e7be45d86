"""Clients that do not take their responses: how long they may, and how much of a process's memory."""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from app.response_watch import LEAST_BYTES_PER_SECOND, ResponseWatch, UnreadResponses
from core.settings import MEBIBYTE, Settings
from owner import until, uuid_of
from product import Product, running_product

SIZE = 12 * MEBIBYTE
"""More than Linux keeps for a connection by itself, which is 4 MB of what is to be sent."""
SECONDS = 0.5


@asynccontextmanager
async def silent(address: tuple[str, int], kept: int = 4_096) -> AsyncIterator[sockets.socket]:
    """A connection whose kernel takes so many bytes by itself, and whose program what the test asks for."""
    client = sockets.socket()
    client.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, kept)
    client.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(client, address)
        yield client
    finally:
        client.close()


async def rest(client: sockets.socket) -> int:
    """How many bytes still come before the end, be it an abrupt one."""
    total = 0
    try:
        while part := await asyncio.get_running_loop().sock_recv(client, 1 << 20):
            total += len(part)
    except ConnectionResetError:
        pass
    return total


class Sender(asyncio.Protocol):
    """Sends twelve megabytes to whoever connects, then closes."""

    def __init__(self, unread: UnreadResponses) -> None:
        self._unread = unread

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.watch = ResponseWatch(transport, self._unread)
        transport.write(bytes(SIZE))
        self.watch.begin()
        transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.watch.stop()


@asynccontextmanager
async def sending(unread: UnreadResponses) -> AsyncIterator[tuple[tuple[str, int], list[Sender]]]:
    """A server of them: its address, and its connections so far."""
    senders: list[Sender] = []

    def sender() -> Sender:
        senders.append(Sender(unread))
        return senders[-1]

    server = await asyncio.get_running_loop().create_server(sender, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname(), senders


async def test_who_takes_nothing_is_given_up_and_who_goes_on_reading_is_not() -> None:
    loop = asyncio.get_running_loop()
    async with (
        sending(UnreadResponses(SECONDS, 100 * SIZE)) as (address, _),
        silent(address) as reading,
        silent(address) as stopped,
    ):
        got = 0
        began = loop.time()
        while loop.time() < began + 4 * SECONDS:
            got += len(await loop.sock_recv(reading, 1 << 16))
            await asyncio.sleep(0.02)
        assert got > 4 * SECONDS * LEAST_BYTES_PER_SECOND
        assert got + await rest(reading) == SIZE
        assert await rest(stopped) < SIZE


async def test_who_takes_a_byte_now_and_then_is_given_up() -> None:
    loop = asyncio.get_running_loop()
    unread = UnreadResponses(SECONDS, 100 * SIZE)
    async with sending(unread) as (address, _), silent(address) as client:
        got = 0
        async with asyncio.timeout(10):
            while unread._kept or not got:
                got += len(await loop.sock_recv(client, 1))
                await asyncio.sleep(0.01)
        assert got + await rest(client) < SIZE


async def test_those_who_have_kept_a_response_for_longest_make_room() -> None:
    unread = UnreadResponses(60, 2 * SIZE)
    async with (
        sending(unread) as (address, senders),
        silent(address) as first,
        silent(address) as second,
        silent(address) as third,
    ):

        async def all_there() -> bool:
            return len(senders) == 3

        await until(all_there)
        assert await rest(first) < SIZE
        assert [await rest(client) for client in (second, third)] == [SIZE, SIZE]
    assert (unread._kept, unread._total) == ({}, 0)


async def test_the_api_gives_up_a_client_that_does_not_take_its_response(settings: Settings) -> None:
    brisk = settings.model_copy(update={"response_timeout": SECONDS})
    async with running_product(brisk, worker=False) as product:
        person = await product.sign_up()
        uploaded = (await person.upload(b"An original."))["document"]["id"]
        product.services.files.path(person.tenant_id, uuid_of(uploaded)).write_bytes(bytes(SIZE))
        found = await person.query("query($id: ID!) { node(id: $id) { ... on Document { contentUrl } } }", id=uploaded)
        target = urlsplit(found["node"]["contentUrl"]).path
        async with silent(address_of(product), 1 << 20) as taken, silent(address_of(product)) as silently:
            for client in (taken, silently):
                await asyncio.get_running_loop().sock_sendall(
                    client, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
                )
            assert await rest(taken) > SIZE
            await asyncio.sleep(
                2 * SECONDS
            )  # the time that is allowed to a client that takes nothing, and as much again
            assert await rest(silently) < SIZE


def address_of(product: Product) -> tuple[str, int]:
    """Host and port of the product."""
    parts = urlsplit(product.url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
