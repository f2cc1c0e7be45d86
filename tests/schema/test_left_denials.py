"""Denials whose client does not wait for anything more: they are in the audit log all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from auditing import lines, outcomes
from test_audit_denials import SIGN_OUT

from core.ids import NodeKind, new_id, to_global
from owner import set_role, until
from product import PROGRESS, Person, Product
from resolvers import auditing
from streams import SSE, pieces, streamed

MEMBERS = "{ viewer { members { nodes { id } } } }"


@asynccontextmanager
async def no_entries(product: Product) -> AsyncIterator[None]:
    """Until the end nothing is added to the audit log: whoever would add something waits."""
    connection = await asyncpg.connect(product.settings.database_owner_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE audit_log IN EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def denied(person: Person, action: str, count: int = 1) -> None:
    """Wait until there are so many entries; more would be a fault."""

    async def there() -> bool:
        return len(await outcomes(person, action)) >= count

    async with asyncio.timeout(10):
        await until(there)
    assert {one[1] for one in await outcomes(person, action)} == {"DENIED"}
    assert len(await outcomes(person, action)) == count


@pytest.mark.parametrize("leaving", ["close", "abort", "complete"])
async def test_who_leaves_a_socket_after_a_denial_is_in_the_log(product: Product, leaving: str) -> None:
    person = await product.sign_up()
    await set_role(person, "USER")
    async with product.socket(person.token) as socket:
        async with no_entries(product):
            await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": MEMBERS}})
            assert (await socket.receive_json())["payload"]["errors"][0]["extensions"]["code"] == "FORBIDDEN"
            if leaving == "complete":
                await socket.send_json({"id": "1", "type": "complete"})
                await socket.send_json({"type": "ping"})
                assert (await socket.receive_json())["type"] == "pong"
            elif leaving == "abort":
                socket._writer.transport.abort()
            else:
                # The server answers before it ends what runs.
                await socket.close()
        await denied(person, "members")


async def test_each_denial_in_a_stream_is_in_the_log_once(product: Product) -> None:
    person = await product.sign_up()
    await person.query(SIGN_OUT)
    document = to_global(NodeKind.DOCUMENT, new_id())
    for _ in range(10):
        async with streamed(person, SSE, PROGRESS, {"id": document}) as response:
            said = [piece async for piece in pieces(response) if piece.kind != "heartbeat"]
        assert said[0].body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    await denied(person, "documentProgress", 10)


async def test_who_leaves_a_stream_after_a_denial_is_in_the_log(product: Product) -> None:
    person = await product.sign_up()
    await person.query(SIGN_OUT)
    document = to_global(NodeKind.DOCUMENT, new_id())
    async with no_entries(product), streamed(person, SSE, PROGRESS, {"id": document}) as response:
        async for piece in pieces(response):
            if piece.kind == "next":
                break
        response.close()
    await denied(person, "documentProgress")


async def test_a_denial_that_the_table_does_not_take_in_time_is_in_the_file(
    own_product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "DENIAL_SECONDS", 0.1)
    person = await own_product.sign_up()
    await set_role(person, "USER")
    async with no_entries(own_product):
        await person.raw(MEMBERS)
    assert await outcomes(person, "members") == []
    assert [(line["action"], line["outcome"]) for line in await lines(own_product)][1:] == [("members", "DENIED")]
