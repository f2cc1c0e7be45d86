"""Transactions that are opened and told whose they are in one round trip, on connections that notice a dead server."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Final

from asyncpg import Connection, InterfaceError, InternalClientError  # type: ignore[import-untyped]

SILENT_SECONDS: Final = 25
"""After which a connection is lost whose other end acknowledges nothing: a machine without power, a firewall that has
forgotten. Whoever waits for an answer would wait for ever, and an answer of a model's with it."""
_IDLE, _BETWEEN, _TIMES = 10, 5, 3
_OPTIONS: Final = {
    "TCP_KEEPIDLE": _IDLE,
    "TCP_KEEPINTVL": _BETWEEN,
    "TCP_KEEPCNT": _TIMES,
    "TCP_USER_TIMEOUT": 1_000 * SILENT_SECONDS,
}
"""Not every system has each of them."""


class OpeningConnection(Connection):  # type: ignore[misc]
    """asyncpg's connection, whose next transaction can be given statements to begin with.

    SQLAlchemy begins a transaction through the driver's `transaction()`, before the first statement; were that to
    change, no tenant would be set, and row-level security would show nothing (`tests/datastores/test_openings.py`).
    """

    __slots__ = ("_opening",)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._opening: str | None = None

    def notice_a_dead_server(self) -> None:
        """Have the kernel see to that, also while the server has work to do: it acknowledges then, too."""
        connected = self._transport.get_extra_info("socket")
        if connected is None or connected.family == socket.AF_UNIX:
            return
        with suppress(OSError):  # it may be lost already, which its first use tells
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _OPTIONS.items():
                if hasattr(socket, name):
                    connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def open_next_with(self, statements: str | None) -> None:
        """Have the next transaction begin with these statements, BEGIN the first of them; no later one does.

        None: have it begin as the driver's do.
        """
        self._opening = statements

    def transaction(self, *, isolation: Any = None, readonly: bool = False, deferrable: bool = False) -> Any:
        """What asyncpg gives, or, after `open_next_with`, a transaction that begins so."""
        statements, self._opening = self._opening, None
        if statements is None:
            return super().transaction(isolation=isolation, readonly=readonly, deferrable=deferrable)
        return _Opening(self, statements)


class _Opening:
    """As much of asyncpg's transaction as SQLAlchemy uses."""

    __slots__ = ("_connection", "_statements")

    def __init__(self, connection: OpeningConnection, statements: str) -> None:
        self._connection, self._statements = connection, statements

    async def start(self) -> None:
        try:
            await self._connection.execute(self._statements)
        except InternalClientError:
            self._connection.terminate()
            raise
        except Exception:
            # A statement behind BEGIN was refused: the connection's next user must not find this transaction.
            if self._connection.is_in_transaction():
                await self.rollback()
            raise

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")

    async def rollback(self) -> None:
        try:
            await self._connection.execute("ROLLBACK")
        except (InterfaceError, InternalClientError):
            # Nobody else uses this connection: the driver has not noticed that an operation of it has ended. Who asks
            # for a rollback has an error to tell, which is why.
            self._connection.terminate()
