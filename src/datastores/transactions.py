"""Open transactions. Read-only and read-write ones are different types, so that a read cannot write by mistake."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy import Executable, event, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel.ext.asyncio.session import AsyncSession

from core.ids import TenantId

if TYPE_CHECKING:
    from datastores.postgres import Postgres

R = TypeVar("R")
_CHANGES = re.compile(
    r"\s*(?:INSERT|UPDATE|DELETE|MERGE)\b|\s*WITH\b.*\b(?:INSERT INTO|UPDATE|DELETE FROM)\b", re.DOTALL
)
"""Text that changes rows: SQLAlchemy knows it only of statements that it has built."""


class Reads(Protocol):
    """What a query needs of a transaction: open already, or opened by the first query (`LazyRead`)."""

    tenant_id: TenantId

    async def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """Run one statement and return all its rows."""
        ...

    async def records(
        self, record: Callable[..., R], statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> list[R]:
        """Run one statement whose columns are the record's fields in order, and return the records."""
        ...

    async def first(
        self, record: Callable[..., R], statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> R | None:
        """The first record, or None."""
        ...

    async def scalar(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row, or None."""
        ...


class StatementCount:
    """How many statements have been sent on the connections that it was told to listen to."""

    def __init__(self) -> None:
        self.total = 0

    def listen(self, connection: AsyncConnection) -> None:
        """Count from here on, until the connection goes back to its pool."""
        event.listen(connection.sync_connection, "before_cursor_execute", self._note)

    def _note(self, *_: object) -> None:
        self.total += 1


class _Reading:
    """Reading on an open connection. One statement at a time: loaders of one operation take turns."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    def count(self, statements: StatementCount) -> None:
        """Count the transaction's statements, the flushes of its session among them, but no COPY."""
        statements.listen(self._connection)

    async def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        async with self._turn:
            return (await self._connection.execute(statement, parameters)).all()

    async def records(
        self, record: Callable[..., R], statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> list[R]:
        return [record(*row) for row in await self.rows(statement, parameters)]

    async def first(
        self, record: Callable[..., R], statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> R | None:
        rows = await self.rows(statement, parameters)
        return record(*rows[0]) if rows else None

    async def scalar(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        rows = await self.rows(statement, parameters)
        return rows[0][0] if rows else None


class ReadTransaction(_Reading):
    """A read-only transaction of one tenant."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        super().__init__(connection)
        self.tenant_id = tenant_id


class _Writing(_Reading):
    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self._changed = False
        event.listen(connection.sync_connection, "after_cursor_execute", self._note_change)

    @cached_property
    def session(self) -> AsyncSession:
        """Where entities are added."""
        return AsyncSession(bind=self._connection, expire_on_commit=False, autoflush=False)

    async def flush(self) -> None:
        """Write the entities that were added."""
        if "session" in self.__dict__:
            await self.session.flush()

    async def changes(self) -> bool:
        """Whether the transaction has changed rows so far, added entities included."""
        await self.flush()
        return self._changed

    def _note_change(
        self, _connection: object, cursor: Any, statement: str, _values: object, context: Any, _: bool
    ) -> None:
        changes = context.isinsert or context.isupdate or context.isdelete or _CHANGES.match(statement)
        if changes and cursor.rowcount != 0:
            self._changed = True

    async def execute(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> int:
        """Run one statement that changes rows and return how many it changed."""
        async with self._turn:
            await self.flush()
            return (await self._connection.execute(statement, parameters)).rowcount

    async def add(self, insert: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run an INSERT for rows with the same columns, together; none is nothing."""
        if rows:
            async with self._turn:
                await self.flush()
                await self._connection.execute(insert, rows)

    async def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        async with self._turn:
            # A statement sees the entities that were added before it.
            await self.flush()
            return (await self._connection.execute(statement, parameters)).all()

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None, None]:
        """Undo what is done inside, and that alone, when it raises."""
        changed = await self.changes()
        try:
            async with self._connection.begin_nested():
                yield
        except BaseException:
            self._changed = changed
            raise

    async def copy(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """COPY rows into a table. PostgreSQL refuses it on a table with row-level security: use a temporary one."""
        async with self._turn:
            driver = (await self._connection.get_raw_connection()).driver_connection
            assert driver is not None
            await driver.copy_records_to_table(table, columns=list(columns), records=rows)


class WriteTransaction(_Writing):
    """A read-write transaction of one tenant."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        super().__init__(connection)
        self.tenant_id = tenant_id


class PlatformTransaction(_Writing):
    """A transaction of the platform role: it sees every tenant, in the tables named for it and no other."""

    async def do_not_wait_for_the_disk(self) -> None:
        """Commit at once, whether or not anything was written; a crash within the next second may lose it."""
        await self.execute(text("SET LOCAL synchronous_commit = off"))


class LazyRead:
    """The one read transaction of a GraphQL operation, opened by the first query that needs it."""

    def __init__(self, postgres: Postgres, tenant_id: TenantId, statements: StatementCount | None = None) -> None:
        self.tenant_id = tenant_id
        self._postgres = postgres
        self._statements = statements
        self._stack = AsyncExitStack()
        # Whoever ends the transaction waits for the statement that runs: fields of one operation do not know of
        # each other, and one of them ends it before it waits for something slow.
        self._turn = asyncio.Lock()
        self._open: ReadTransaction | None = None

    async def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        async with self._transaction() as tx:
            return await tx.rows(statement, parameters)

    async def records(
        self, record: Callable[..., R], statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> list[R]:
        async with self._transaction() as tx:
            return await tx.records(record, statement, parameters)

    async def first(
        self, record: Callable[..., R], statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> R | None:
        async with self._transaction() as tx:
            return await tx.first(record, statement, parameters)

    async def scalar(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        async with self._transaction() as tx:
            return await tx.scalar(statement, parameters)

    async def aclose(self) -> None:
        """End the transaction and give the connection back; the next query would open a new one."""
        async with self._turn:
            self._open = None
            await self._stack.aclose()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[ReadTransaction, None]:
        async with self._turn:
            if self._open is None:
                self._open = await self._stack.enter_async_context(self._postgres.read(self.tenant_id))
                if self._statements is not None:
                    self._open.count(self._statements)
            try:
                yield self._open
            except BaseException as error:
                # A failed statement ends the transaction at once: it could not be committed, and the operation's
                # other fields need not fail with it.
                self._open = None
                await self._stack.__aexit__(type(error), error, error.__traceback__)
                raise
