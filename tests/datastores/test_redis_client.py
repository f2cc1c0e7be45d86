"""The process's Redis connections."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError
from redis.exceptions import TimeoutError as RedisTimeoutError

from core.errors import ConfigurationError
from core.settings import Settings
from datastores.redis_client import _Tcp, make_redis


async def test_a_loop_over_redis_ends_whenever_it_is_cancelled(settings: Settings) -> None:
    redis = make_redis(settings)

    async def ping_for_ever() -> None:
        while True:
            await redis.ping()

    try:
        await redis.ping()
        for turns in range(300):
            task = asyncio.create_task(ping_for_ever())
            for _ in range(turns % 30):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=2)
            assert done, f"still running after it was cancelled {turns % 30} turns of the loop later"
            assert task.cancelled()
            assert await redis.echo(str(turns)) == str(turns).encode()
    finally:
        await redis.aclose()


async def test_redis_py_packs_and_sends_by_our_connections_methods(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both cost half of a command where they are its own."""
    for name in ("pack_command", "send_packed_command"):
        monkeypatch.delattr(AbstractConnection, name)
    redis = make_redis(settings)
    try:
        assert await redis.mset({"text": "ä", "bytes": b"\xff\r\n", "number": 7, "fraction": 0.5})
        assert await redis.mget("text", "bytes", "number", "fraction") == ["ä".encode(), b"\xff\r\n", b"7", b"0.5"]
        assert await redis.config_get("maxmemory-policy")  # a command of two words
        async with redis.pipeline() as pipe:
            assert await pipe.incr("number").incr("number").execute() == [8, 9]
        with pytest.raises(DataError):
            await redis.set("text", None)  # type: ignore[arg-type]
    finally:
        await redis.aclose()


@pytest.mark.parametrize(("reads", "error"), [(True, RedisConnectionError), (False, RedisTimeoutError)])
async def test_what_cannot_be_sent_is_told_and_closes_the_connection(reads: bool, error: type[Exception]) -> None:
    gone = asyncio.Event()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not reads:
            await gone.wait()  # and meanwhile nothing is read
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0, limit=1024)
    connection = _Tcp(port=server.sockets[0].getsockname()[1], socket_timeout=0.3, lib_name=None, lib_version=None)
    await connection.connect()
    with pytest.raises(error):
        await _send_for_ever(connection)
    assert not connection.is_connected
    gone.set()
    server.close()
    await server.wait_closed()


async def _send_for_ever(connection: _Tcp) -> None:
    while True:
        await connection.send_packed_command(bytes(1_000_000))
        await asyncio.sleep(0)


@pytest.mark.parametrize("url", [None, "", "http://127.0.0.1:1", "127.0.0.1:6379"])
def test_a_url_that_is_none_is_told_with_the_name_of_its_setting(url: str | None) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        make_redis(Settings(redis_url=url))
