"""Counting SQL statements, less BEGIN and the door's `set_config`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import event

from product import Product


@asynccontextmanager
async def counted(product: Product) -> AsyncIterator[list[str]]:
    """The statements that the application role runs inside the block, once no answer is being produced any more."""
    async with asyncio.timeout(5):
        await product.services.supervisor.idle()
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "set_config" not in statement:
            statements.append(statement)

    engine = product.services.postgres.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)
