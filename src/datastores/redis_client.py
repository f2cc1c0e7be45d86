"""The process's Redis connections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from core.errors import ConfigurationError
from core.settings import Settings

REQUEST_SECONDS = 0.2
"""The longest that Redis may take where the asker has something of its own to go on with; it takes under a millisecond.
Five requests in a row that wait for so long are felt, but not taken for a failure."""
LOG_SECONDS = 1.0
"""The longest that it may take where an answer's log is written or read, with the wait for a connection.

Giving up costs every viewer of the answer a restart, so it is far beyond what Redis and its line take on a bad day
(a fork for a snapshot, a packet sent again: some hundred milliseconds). An answer is stored after at most one such
wait, and is followed and stopped without Redis after one or two."""
COMMAND_SECONDS = 2.0
"""The longest for any other command, tried twice: the worker's queue, words to other processes. Nobody waits for it."""

REDIS_ERRORS = (RedisError, OSError)
"""Redis is away, full, read-only after a failover, or loading: whoever can go on without it does."""


class _Quick(AbstractConnection):
    """A connection that packs with hiredis, and sends without a task for each command.

    redis-py bounds a send with `asyncio.wait_for`. On Python 3.11 that makes a task, and it swallows a cancellation
    that comes together with the send's end: one in a hundred cancelled loops ran on for ever. Both methods are called
    by redis-py for every command, and `_writer` is its own: `tests/datastores/test_redis_client.py` names them.
    """

    _packer = HiredisRespSerializer()

    def pack_command(self, *args: Any) -> list[bytes]:
        """The command as it is sent. Raises DataError for what Redis cannot be told."""
        packed: list[bytes] = self._packer.pack(*args)
        return packed

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        """Send within `socket_timeout`. Raises redis-py's errors; after any the connection is closed."""
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call]
        elif check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        command = command.encode() if isinstance(command, str) else command
        writer = self._writer
        assert writer is not None, "it is connected"
        try:
            async with asyncio.timeout(self.socket_timeout):
                writer.writelines([command] if isinstance(command, bytes) else command)
                await writer.drain()
        except BaseException as error:
            # Nobody will read the reply: the next user of this connection must not find it.
            await self.disconnect(nowait=True)
            if isinstance(error, TimeoutError):
                raise RedisTimeoutError("Timeout writing to socket") from None
            if isinstance(error, OSError):
                raise RedisConnectionError(f"Error while writing to socket: {error}") from error
            raise


class _Tcp(_Quick, Connection): ...


class _Tls(_Quick, SSLConnection): ...


class _Unix(_Quick, UnixDomainSocketConnection): ...


_CONNECTIONS = {Connection: _Tcp, SSLConnection: _Tls, UnixDomainSocketConnection: _Unix}


def make_redis(settings: Settings) -> Redis:
    """A client of the server that evicts nothing. Raises `ConfigurationError`."""
    if settings.redis_url is None:
        raise ConfigurationError("REDIS_URL: not set. `make run` sets it to the embedded server.")
    return _client("REDIS_URL", settings.redis_url, settings)


def make_cache(settings: Settings) -> Redis:
    """A client of the server whose keys may be evicted. Raises `ConfigurationError`."""
    if settings.redis_cache_url is None:
        raise ConfigurationError("REDIS_CACHE_URL: not set.")
    return _client("REDIS_CACHE_URL", settings.redis_cache_url, settings)


def _client(variable: str, url: str, settings: Settings) -> Redis:
    """On a bounded pool whose callers wait for a connection."""
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=settings.redis_max_connections,
            timeout=5,
            socket_connect_timeout=COMMAND_SECONDS,
            socket_timeout=COMMAND_SECONDS,
            health_check_interval=15,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 1),
            retry_on_error=[RedisConnectionError, RedisTimeoutError],
        )
    except ValueError:
        # The library's own words would show a part of a password that is not encoded.
        raise ConfigurationError(
            f"{variable}: not a URL of Redis. Expected redis://[:password@]host:port/number, with %40, %2F and %3A for "
            "@, / and : in a password."
        ) from None
    pool.connection_class = _CONNECTIONS[pool.connection_class]
    return Redis.from_pool(pool)
