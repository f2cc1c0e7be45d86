"""The vectors of one document: made by several calls at once while earlier ones are stored, and while it is read.

What is between the two is the database: whoever reads stores passages, and this takes those that have no vector. In
memory are one statement's worth of texts and the batches that are asked for, however long the document is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from core.errors import ErrorCode, FailureError, ProviderError
from core.ids import TenantId
from core.tasks import end_tasks
from datastores import ingestion
from datastores import vectors as document_vectors
from datastores.postgres import Postgres
from datastores.vectors import StoredChunk
from providers.base import EmbeddingProvider

CHUNK_BATCH = 1_000
"""Chunks to a statement."""
EMBEDDING_TRIES = 3
EMBEDDING_TIMEOUT = 30.0
"""Seconds for one batch of the provider."""
EMBEDDING_BACKOFF = 0.5
"""Seconds before the second try; doubled before the third."""
Vectors = npt.NDArray[np.float32]
Made = tuple[list[StoredChunk], Vectors]


class MakesRoom(Exception):
    """Others wait, and this document has had its time for now."""


@dataclass(slots=True)
class StoredText:
    """How much of a document's text is in the database."""

    chunks: int = 0
    whole: bool = False
    """Whether that is all of it."""
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    def grow(self, chunks: int, *, whole: bool = False) -> None:
        """So many are there now."""
        self.chunks, self.whole = chunks, whole
        self.grown.set()


class EmbeddingCalls:
    """Calls of one job, in up to three tries each. When one is told to wait, the others begin no earlier either."""

    def __init__(self, provider: EmbeddingProvider) -> None:
        self._provider = provider
        self._not_before = 0.0

    async def embed(self, texts: list[str]) -> Vectors:
        """One batch. Raises `ProviderError` with the last try's reason."""
        loop = asyncio.get_running_loop()
        for attempt in range(EMBEDDING_TRIES):
            while (wait := self._not_before - loop.time()) > 0:  # noqa: ASYNC110 - it may be put off meanwhile
                await asyncio.sleep(wait)
            try:
                async with asyncio.timeout(EMBEDDING_TIMEOUT):
                    return await self._provider.embed_documents(texts)
            except TimeoutError:
                late = "The embedding model did not answer in time."
                error = ProviderError(ErrorCode.TIMED_OUT, late, retryable=True)
            except ProviderError as refused:
                error = refused
            if not error.retryable or attempt == EMBEDDING_TRIES - 1:
                raise error
            asked_for = min(error.retry_after or 0.0, EMBEDDING_TIMEOUT)
            self._not_before = max(self._not_before, loop.time() + asked_for)
            await asyncio.sleep(EMBEDDING_BACKOFF * 2**attempt)
        raise AssertionError("unreachable: the last try returns or raises")


class DocumentVectors:
    """Fills one vector space for a document that is claimed."""

    def __init__(
        self,
        postgres: Postgres,
        tenant_id: TenantId,
        document_id: UUID,
        epoch: int,
        provider: EmbeddingProvider,
        *,
        at_once: int,
        gives_way: Callable[[], Awaitable[bool]],
        announce: Callable[[], Awaitable[None]],
    ) -> None:
        """`at_once` bounds the provider's calls; `gives_way` is asked between batches once all of the text is there."""
        self._postgres, self._tenant_id = postgres, tenant_id
        self._document_id, self._epoch = document_id, epoch
        self._provider, self._calls, self._at_once = provider, EmbeddingCalls(provider), at_once
        self._gives_way, self._announce = gives_way, announce
        self._read: list[StoredChunk] = []
        self._last = -1
        self._done = 0
        self._all_begun = False
        self._stopped: Exception | None = None
        """Why no further call is begun. What is under way comes to its end, and is stored: it is paid for."""

    async def stored(self) -> int:
        """How many vectors there are already."""
        async with self._postgres.read(self._tenant_id) as tx:
            self._done = await document_vectors.vectors_stored(tx, self._document_id, self._provider.model_id)
        return self._done

    async def fill(self, text: StoredText) -> None:
        """Make the vectors that are missing, of what is there and of what comes, until there is one of all.

        Raises `ProviderError`, `MakesRoom`, and `DocumentTakenError`.
        """
        pending: set[asyncio.Task[Made]] = set()
        growing: asyncio.Task[bool] | None = None
        try:
            while True:
                await self._begin(text, pending)
                if not pending:
                    if self._stopped is not None:
                        raise self._stopped
                    if self._all_begun:
                        return
                awaited: set[asyncio.Task[Any]] = {*pending}
                if len(pending) < self._at_once and not self._all_begun and self._stopped is None:
                    if growing is None or growing.done():
                        growing = asyncio.create_task(text.grown.wait())
                    awaited.add(growing)
                await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
                done = {task for task in pending if task.done()}
                pending -= done
                made = [result for task in done if (result := self._result(task)) is not None]
                # The provider is not left idle while these are stored.
                await self._begin(text, pending)
                await self._store(made)
        finally:
            await end_tasks([*pending, *([growing] if growing else [])])

    async def _begin(self, text: StoredText, pending: set[asyncio.Task[Made]]) -> None:
        while len(pending) < self._at_once and self._stopped is None:
            batch = await self._next_batch(text)
            if not batch:
                return
            if text.whole and batch[0].ordinal > 0 and await self._gives_way():
                self._stopped = MakesRoom()
                return
            pending.add(asyncio.create_task(self._call(batch)))

    async def _next_batch(self, text: StoredText) -> list[StoredChunk]:
        """The next chunks without a vector: as many as the provider takes, fewer only at the document's end; none where
        there are not so many yet."""
        text.grown.clear()
        there, whole = text.chunks, text.whole
        size = self._provider.batch_size
        while len(self._read) < size and self._last < there - 1:
            async with self._postgres.read(self._tenant_id) as tx:
                chunks = await document_vectors.chunks_without_vector(
                    tx, self._document_id, self._provider.model_id, after=self._last, limit=CHUNK_BATCH
                )
            self._read += chunks
            # Where fewer came than might have, the rest has its vectors.
            self._last = chunks[-1].ordinal if len(chunks) == CHUNK_BATCH else max(there - 1, *_ordinals(chunks))
        if len(self._read) < size and not whole:
            return []
        batch, self._read = self._read[:size], self._read[size:]
        # By what was so when this began: the last of the text may have come meanwhile.
        self._all_begun = whole and not batch
        return batch

    async def _call(self, batch: list[StoredChunk]) -> Made:
        return batch, await self._calls.embed([chunk.text for chunk in batch])

    def _result(self, task: asyncio.Task[Made]) -> Made | None:
        try:
            return task.result()
        except FailureError as error:
            self._stopped = self._stopped or error
            return None

    async def _store(self, made: Sequence[Made]) -> None:
        """All that has come meanwhile, in one transaction."""
        if not made:
            return
        ids = [chunk.id for batch, _ in made for chunk in batch]
        vectors = np.concatenate([vectors for _, vectors in made])
        self._done += len(ids)
        async with self._postgres.write(self._tenant_id) as tx:
            await ingestion.record_progress(tx, self._document_id, self._epoch, chunks_done=self._done)
            await document_vectors.add_embeddings(tx, self._provider.model_id, ids, vectors)
        await self._announce()


def _ordinals(chunks: Sequence[StoredChunk]) -> tuple[int, ...]:
    return (chunks[-1].ordinal,) if chunks else (-1,)
