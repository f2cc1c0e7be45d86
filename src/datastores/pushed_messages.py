"""What Redis pushes on a connection that listens, read without what redis-py spends on each message.

redis-py sets a timer, makes a dictionary and goes through four coroutines for a message; here all that has come is
taken at once. The attributes of its parser are private to it: the tests of `datastores.live` show that they are there.
"""

from __future__ import annotations

from typing import Any

from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio.client import PubSub


class PushedMessages:
    """Reads one connection, which must have subscribed to something."""

    def __init__(self, pubsub: PubSub) -> None:
        assert pubsub.connection is not None, "it has not subscribed"
        self._pubsub: PubSub = pubsub
        self._parser: Any = pubsub.connection._parser

    async def read(self) -> list[tuple[bytes, bytes, Any]]:
        """All that has come, after waiting for the first: kind, channel, and a `message`'s data.

        Raises what redis-py raises when the connection is lost.
        """
        reader = self._parser._reader
        response = reader.gets()
        while response is NOT_ENOUGH_DATA:
            await self._parser.read_from_socket()
            response = reader.gets()
        messages = []
        while response is not NOT_ENOUGH_DATA:
            if isinstance(response, Exception):
                raise response
            if response[0] != b"message":
                # It counts what it has subscribed to.
                await self._pubsub.handle_message(response)  # type: ignore[no-untyped-call]
            messages.append((response[0], response[1], response[-1]))
            response = reader.gets()
        return messages
