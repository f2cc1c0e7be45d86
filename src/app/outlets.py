"""Where the results of one operation of a socket go that are rendered already."""

from __future__ import annotations

from typing import Any

import orjson
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import Operation

from app.socket_protocol import SocketProtocol
from resolvers.following.outlet import Drained


class OperationOutlet:
    """Writes `next` messages to the connection, without a task, and byte for byte as the handler would have them."""

    __slots__ = ("_connection", "_operation", "_prefix")

    def __init__(self, connection: SocketProtocol, operation: Operation[Any, Any]) -> None:
        self._connection, self._operation = connection, operation
        self._prefix = b'{"id":%b,"type":"next","payload":{"data":' % orjson.dumps(operation.id)

    @property
    def writable(self) -> bool:
        """Whether what is written now goes out."""
        return self._connection.takes_text

    def write(self, data: bytes) -> bool:
        """Send a result; False where it does not go out now. One of an operation that has ended is lost."""
        return self._operation.completed or self._connection.write_text(self._prefix, data, b"}}")

    def when_drained(self, waiting: Drained) -> None:
        """Tell somebody once when it is writable again."""
        self._connection.when_drained(waiting)

    def forget(self, waiting: Drained) -> None:
        """The end of `when_drained`."""
        self._connection.forget(waiting)
