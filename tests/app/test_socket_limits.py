"""What one WebSocket may ask of the API, and what becomes of one that breaks the protocol, idles or has died."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import aiohttp
import pytest

from core.settings import Settings
from open_sockets import INIT, VIEWER, closed, following, opened, queued_document, subscribe
from owner import until
from product import PROGRESS, Product, running_product
from raw_socket import PING, Closed, RawSocket, frame, operation

CREATE_KEY = """mutation { createApiKey(input: {name: "x", role: USER}) {
  ... on CreateApiKeyPayload { secret } } }"""
NEXT_TO_NOTHING = {
    "socket_init_timeout": 0.5,
    "socket_idle_timeout": 1.0,
    "socket_message_bytes": 2_048,
    "socket_operations": 2,
    "sockets_per_person": 2,
    "sockets_per_address": 2,
}


@pytest.fixture
async def tight(settings: Settings) -> AsyncIterator[Product]:
    """A product with next to no room; its documents stay QUEUED, so that following one goes on for ever."""
    async with running_product(settings.model_copy(update=NEXT_TO_NOTHING), worker=False) as product:
        yield product


async def test_a_socket_that_says_nothing_is_closed(tight: Product) -> None:
    async with opened(tight) as socket:
        code, reason = await closed(socket)
    assert (code, reason) == (4408, "Connection initialisation timeout")


@pytest.mark.long
async def test_an_idle_socket_is_closed_and_one_with_an_operation_or_messages_is_not(tight: Product) -> None:
    person = await tight.sign_up()
    document = await queued_document(person)
    loop = asyncio.get_running_loop()
    async with tight.socket(person.token) as idle, tight.socket(person.token) as busy:
        await subscribe(busy, "1", PROGRESS, id=document)
        assert (await busy.receive_json())["type"] == "next"
        began = loop.time()
        for _ in range(3):
            await asyncio.sleep(0.4)
            await idle.send_json({"type": "ping"})
            assert (await idle.receive_json())["type"] == "pong"
        quiet = loop.time()
        assert quiet - began > 1.0
        assert await closed(idle) == (1000, "Nothing has happened here for 1 seconds.")
        assert loop.time() - quiet > 0.9
        await busy.send_json({"id": "1", "type": "complete"})
        ended = loop.time()
        assert (await closed(busy))[0] == 1000
        assert loop.time() - ended > 0.9


async def test_an_operation_too_many_fails_alone(tight: Product) -> None:
    person = await tight.sign_up()
    document = await queued_document(person)
    async with tight.socket(person.token) as socket:
        for id in ("1", "2", "3"):
            await subscribe(socket, id, PROGRESS, id=document)
        frames = [await socket.receive_json() for _ in range(3)]
        (refused,) = [frame for frame in frames if frame["type"] == "error"]
        assert {frame["id"] for frame in frames if frame["type"] == "next"} == {"1", "2"}
        assert refused["id"] == "3"
        (error,) = refused["payload"]
        assert error["message"] == "The socket has 3 operations at once; the limit is 2 (socket_operations)."
        assert error["extensions"] == {
            "code": "LIMIT_EXCEEDED",
            "kind": "socket_operations",
            "limit": 2,
            "actual": 3,
            "requestId": error["extensions"]["requestId"],
        }
        await socket.send_json({"id": "1", "type": "complete"})
        await subscribe(socket, "3", VIEWER)
        assert (await socket.receive_json())["payload"]["data"]["viewer"]["user"]["email"] == person.email


async def test_a_person_has_so_many_sockets_and_a_closed_one_makes_room(tight: Product) -> None:
    person, other = await tight.sign_up(), await tight.sign_up()
    async with tight.socket(person.token):
        async with tight.socket(person.token):
            async with tight.socket(person.token) as third:
                await third.send_json({"id": "1", "type": "subscribe", "payload": {"query": VIEWER}})
                code, reason = await closed(third)
                assert (code, reason) == (4429, "You have 2 sockets open, the most allowed. Close one first.")
            async with tight.socket(other.token) as free:
                await subscribe(free, "1", VIEWER)
                assert (await free.receive_json())["type"] == "next"

        async def admitted() -> bool:
            async with tight.socket(person.token) as again:
                await subscribe(again, "1", VIEWER)
                return (await again.receive()).type is aiohttp.WSMsgType.TEXT

        await until(admitted)


async def test_all_api_keys_of_an_organisation_share_their_sockets(tight: Product) -> None:
    person = await tight.sign_up()
    keys = [(await person.query(CREATE_KEY))["createApiKey"]["secret"] for _ in range(3)]
    async with tight.socket(keys[0]), tight.socket(keys[1]), tight.socket(person.token), tight.socket(keys[2]) as third:
        code, reason = await closed(third)
    assert (code, reason) == (
        4429,
        "The API keys of your organisation have 2 sockets open, the most allowed. Close one first.",
    )


async def test_an_address_has_so_many_sockets_on_which_nobody_has_signed_in(tight: Product) -> None:
    person = await tight.sign_up()
    async with tight.socket(person.token), tight.socket(None), tight.socket(None):
        async with opened(tight) as third:
            assert await closed(third) == (4429, "Too many sockets are open from this address. Try again later.")

        async def admitted() -> bool:
            async with opened(tight) as again:
                await again.send_json(INIT)
                return (await again.receive()).type is aiohttp.WSMsgType.TEXT

        assert not await admitted()
    await until(admitted)


async def test_an_address_opens_sockets_at_a_rate_whether_or_not_anybody_signs_in(settings: Settings) -> None:
    slow = settings.model_copy(update={"rate_limit_sockets_per_minute": 1, "rate_limit_sockets_burst": 2})
    async with running_product(slow, worker=False) as product:
        person = await product.sign_up()
        for token in (person.token, None):
            async with product.socket(token):
                pass
        async with opened(product) as third:
            code, reason = await closed(third)
        assert code == 1013
        assert re.fullmatch(
            r"Too many sockets have been opened from this address\. Try again in ([45]\d|60) seconds\.", reason
        )
        elsewhere = {"x-forwarded-for": "192.0.2.7"}
        url, protocols = f"{product.url}/graphql", ("graphql-transport-ws",)
        async with product.http.ws_connect(url, protocols=protocols, headers=elsewhere) as other:
            await other.send_json(INIT)
            assert (await other.receive_json())["type"] == "connection_ack"
        # Requests are counted by themselves.
        assert (await person.query(VIEWER))["viewer"]["user"]["email"] == person.email


async def test_a_message_that_is_too_large_closes_the_socket(tight: Product) -> None:
    async with tight.socket(None) as socket:
        await subscribe(socket, "1", VIEWER + " " * 1_800)
        assert (await socket.receive_json())["type"] == "next"
        await subscribe(socket, "2", VIEWER + " " * 2_000)
        code, _ = await closed(socket)
    assert code == 1009


async def test_too_many_messages_close_the_socket_and_in_the_long_run_some_are_free(settings: Settings) -> None:
    budget = {"socket_messages_per_second": 50, "socket_messages_burst": 10}
    async with running_product(settings.model_copy(update=budget), worker=False) as product:
        reason = "More than 50 messages a second, for longer than is allowed."
        async with opened(product) as socket:
            for _ in range(10):
                await socket.send_json({"type": "ping"})
            for _ in range(10):
                assert (await socket.receive_json())["type"] == "pong"
            await asyncio.sleep(0.1)  # five more
            for _ in range(4):
                await socket.send_json({"type": "ping"})
                assert (await socket.receive_json())["type"] == "pong"
            for _ in range(20):
                await socket.send_json({"type": "ping"})
            assert await closed(socket) == (4429, reason)
        async with RawSocket(*product.address) as raw:
            await raw.send(frame(b"", PING) * 100_000)
            with pytest.raises(Closed) as told:
                await raw.receive()
            assert told.value.args == (4429, reason)
            # What was too much is answered by nothing, and the connection ends though its client does not.
            assert raw.pongs == 10
            await raw.ended()


async def test_a_peer_that_answers_no_ping_is_closed_and_what_it_followed_is_freed(settings: Settings) -> None:
    eager = settings.model_copy(update={"socket_ping_interval": 0.2, "socket_ping_timeout": 0.3})
    async with running_product(eager, worker=False) as product:
        person = await product.sign_up()
        document = await queued_document(person)
        async with product.http.ws_connect(
            f"{product.url}/graphql", protocols=("graphql-transport-ws",), autoping=False
        ) as socket:
            await socket.send_json(INIT | {"payload": {"authorization": f"Bearer {person.token}"}})
            await subscribe(socket, "1", PROGRESS, id=document)
            seen = []
            while (message := await socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
                seen.append(message.type)
            assert (message.data, message.extra) == (1011, "keepalive ping timeout")
            # The first event may come behind the ping.
            assert sorted(seen) == [aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING]

        async def freed() -> bool:
            return not await following(person, document)

        await until(freed)


async def test_a_peer_that_reads_nothing_is_dropped_with_what_was_to_be_sent_to_it(settings: Settings) -> None:
    changes = {
        "socket_ping_interval": 0.2,
        "socket_ping_timeout": 0.5,
        "sockets_per_person": 1,
        "socket_messages_burst": 1_000,
    }
    eager = settings.model_copy(update=changes)
    query = "{ " + "x" * 30_000 + ": __typename }"  # its answer is as long
    async with running_product(eager, worker=False) as product:
        person = await product.sign_up()
        document = await queued_document(person)
        async with RawSocket(*product.address, room=4_096) as raw:
            await raw.sign_in(person.token)
            await raw.subscribe("1", PROGRESS, id=document)
            await raw.receive()
            # From here on nothing is read: the reader's buffer fills, then both kernels', then the server's.
            for number in range(300):  # 9 MB: Linux keeps up to 4 MB of what is to be sent
                await raw.send_json(operation(f"s{number}", query))

            async def freed() -> bool:
                return not await following(person, document)

            await until(freed)

            async def admitted() -> bool:
                async with product.socket(person.token) as again:
                    await subscribe(again, "1", VIEWER)
                    return (await again.receive()).type is aiohttp.WSMsgType.TEXT

            await until(admitted)
