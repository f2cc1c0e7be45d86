"""Those who wait for one row, in the order in which they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from accounts import run

from owner import as_owner, until
from product import Person, Product

_HOLD = "SELECT FROM users WHERE email = $1 FOR UPDATE"
_WAITING = """SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE datname = current_database() AND NOT granted"""


class Turns:
    """Those who wait for a person's row, in the order in which they will have it."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._tasks: list[asyncio.Task[dict[str, Any]]] = []

    async def comes(self, mutation: str, token: str | None = None, /, **fields: Any) -> None:
        """Let the mutation come as far as the row, or to its end."""
        await self._starts(run(self._product, mutation, token, **fields))

    async def asks(self, person: Person, query: str, **variables: Any) -> None:
        """As `comes`, for a whole response, which may have errors."""
        await self._starts(person.raw(query, **variables))

    async def results(self) -> list[dict[str, Any]]:
        """What became of them."""
        return await asyncio.gather(*self._tasks)

    async def _starts(self, work: Coroutine[Any, Any, dict[str, Any]]) -> None:
        task = asyncio.create_task(work)
        self._tasks.append(task)

        async def stopped() -> bool:
            ((waiting,),) = await as_owner(self._product.settings, _WAITING)
            return task.done() or waiting == len(self._tasks)

        await until(stopped)


@asynccontextmanager
async def held(person: Person, statement: str = _HOLD) -> AsyncIterator[Turns]:
    """Nobody else changes the person, or comes in, before the end, when the statement takes effect."""
    connection = await asyncpg.connect(person.product.settings.database_owner_url)
    try:
        async with connection.transaction():
            await connection.execute(statement, person.email)
            yield Turns(person.product)
    finally:
        await connection.close()
