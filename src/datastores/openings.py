"""Transactions that are opened and told whose they are in one round trip."""

from __future__ import annotations

from typing import Any

from asyncpg import Connection, InterfaceError, InternalClientError  # type: ignore[import-untyped]


class OpeningConnection(Connection):  # type: ignore[misc]
    """asyncpg's connection, whose next transaction can be given statements to begin with.

    SQLAlchemy begins a transaction through the driver's `transaction()`, before the first statement; were that to
    change, no tenant would be set, and row-level security would show nothing (`tests/datastores/test_openings.py`).
    """

    __slots__ = ("_opening",)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._opening: str | None = None

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
