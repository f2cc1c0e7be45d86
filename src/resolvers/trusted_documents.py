"""Which documents are registered, as one process knows it."""

from __future__ import annotations

import asyncio
import math
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from datastores import trusted_documents
from datastores.postgres import Postgres, Purpose

log = structlog.get_logger(__name__)


class TrustedDocuments:
    """All hashes in memory, read anew when they are `ttl` seconds old; texts as they are first asked for.

    So an unknown hash costs PostgreSQL nothing, however many are tried; and a document that was added, or removed,
    works, or has stopped, on every process after `ttl` seconds. While PostgreSQL is away what was last read stands.
    """

    def __init__(self, postgres: Postgres, *, ttl: float) -> None:
        self._postgres = postgres
        self._ttl = ttl
        self._texts: dict[str, str | None] = {}
        """By hash; None where nobody has asked for it yet."""
        self._read_at = -math.inf
        self._reading = asyncio.Lock()

    async def knows(self, key: str) -> bool:
        """Whether a document with this hash is registered. Raises what the driver raises before the first reading."""
        await self._refresh()
        return key in self._texts

    async def text_of(self, key: str) -> str | None:
        """The text with this hash; None when there is none. Raises what the driver raises."""
        if not await self.knows(key):
            return None
        text = self._texts[key]
        if text is None:
            async with self._postgres.platform(Purpose.TRUSTED_DOCUMENTS) as tx:
                text = await trusted_documents.text_of(tx, key)
            if text is not None and key in self._texts:
                self._texts[key] = text
        return text

    async def _refresh(self) -> None:
        if self._fresh():
            return
        async with self._reading:  # one asks, the others wait for what it hears
            if self._fresh():
                return
            try:
                async with self._postgres.platform(Purpose.TRUSTED_DOCUMENTS) as tx:
                    hashes = await trusted_documents.hashes(tx)
            except (SQLAlchemyError, OSError) as error:
                if self._read_at == -math.inf:
                    raise
                log.warning("trusted documents not read anew", error=type(error).__name__)
            else:
                self._texts = {key: self._texts.get(key) for key in hashes}
            self._read_at = time.monotonic()

    def _fresh(self) -> bool:
        return time.monotonic() - self._read_at < self._ttl
