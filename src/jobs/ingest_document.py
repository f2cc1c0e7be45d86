"""One document from file to searchable: pages -> chunks -> embeddings, at the same time and each in constant memory.

arq may run the job twice and a worker may die anywhere: whoever claims the document takes the next epoch, and begins
again, or goes on with the vectors where all of the text is stored; a worker whose epoch is old can write nothing. A
worker that is asked to stop, or loses the database, gives the document back, as often as need be; one that vanishes
counts against the document. One whose document is cancelled, deleted or taken over ends the work within half a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from core.errors import DocumentError, ErrorCode, FailureError
from core.ids import TenantId
from core.tasks import end_tasks, to_its_end
from datastores import ingestion
from datastores import vectors as document_vectors
from datastores.ingestion import ClaimedDocument, DocumentTakenError, NewChunk
from datastores.models import DocumentStatus
from datastores.outages import is_locked, is_outage, when_back
from datastores.storage.base import StorageError
from ingest.chunks import chunk_page
from ingest.pages import DocumentOpened, ParsedPage, ParserLimits
from ingest.parser import parse
from ingest.sniff import ContentType
from jobs.claims import given_back
from jobs.embedding import CHUNK_BATCH, DocumentVectors, MakesRoom, StoredText
from jobs.services import JobServices
from providers.registry import LOCAL_MODEL

MAX_VANISHED = 3
"""A document that so many workers did not survive is not given to a fourth."""
CLAIM_SECONDS = 2.0
"""For a document's row, which a host that vanished may hold for hours: whoever waits has a place that others need."""
LOOK_SECONDS = 0.4
"""How often a worker looks whether the document is still its own."""
BEAT_SECONDS = ingestion.STALE_AFTER.total_seconds() / 3
"""How often it shows that it lives."""
PAGE_BATCH = 50
"""Pages to the first transaction while parsing, and twice as many to each further one."""
MOST_PAGES, MOST_CHARS = 400, 200_000
"""To one transaction: what is in memory of a document while it is read, and what whoever cancels it waits for (some 450
chunks, less than a second)."""
log = structlog.get_logger(__name__)


async def never() -> bool:
    """Whether the document is to make room for others', where nobody else waits."""
    return False


async def ingest(
    services: JobServices, tenant_id: TenantId, document_id: UUID, gives_way: Callable[[], Awaitable[bool]] = never
) -> None:
    """Claim the document, if it may be, and make it searchable.

    Failures of the document are recorded on it; those of our own machinery are raised, and leave it to the sweep.
    `gives_way` is asked between two batches; where it says so, the document goes back into the queue.
    """

    async def claim() -> ClaimedDocument | None:
        async with services.postgres.write(tenant_id, lock_seconds=CLAIM_SECONDS) as tx:
            return await ingestion.claim(tx, document_id)

    try:
        claimed = await when_back(claim)
    except DBAPIError as error:
        if not is_locked(error):
            raise
        log.warning("document held by somebody", document=document_id.hex)
        return
    if claimed is None:
        return
    job = _Ingestion(services, tenant_id, document_id, claimed, gives_way)
    async with given_back(job.release):
        await _run(job, document_id.hex)


async def _run(job: _Ingestion, document: str) -> None:
    try:
        await job.run()
    except MakesRoom:
        log.info("document makes room", document=document)
        await when_back(job.release)
    except DocumentTakenError:
        log.info("document cancelled, deleted or taken over", document=document)
    except FailureError as error:
        # What lies behind it is for the log alone. A provider's own words are not: they may have its key in them.
        fault = error.__cause__ if isinstance(error, DocumentError) else None
        log.warning("document failed", document=document, code=error.code.value, exc_info=fault)
        await when_back(partial(job.fail, error.code, error.message, retryable=error.retryable))
    except Exception as error:
        if not is_outage(error):
            raise
        log.warning("document interrupted: the database was away", document=document, error=type(error).__name__)
        await when_back(job.release)
        await job.wake()


class _Ingestion:
    """The state of one claim."""

    def __init__(
        self,
        services: JobServices,
        tenant_id: TenantId,
        document_id: UUID,
        claimed: ClaimedDocument,
        gives_way: Callable[[], Awaitable[bool]],
    ) -> None:
        self._services = services
        self._gives_way = gives_way
        self._tenant_id = tenant_id
        self._document_id = document_id
        self._claimed = claimed
        self._chunks = claimed.chunks_total or 0
        self._model_id = claimed.embedding_model_id

    async def run(self) -> None:
        """Raises `DocumentTakenError` when the document is no longer this worker's, `FailureError` when it fails."""
        if self._claimed.vanished >= MAX_VANISHED:
            raise DocumentError(
                ErrorCode.INTERRUPTED,
                "Reading this document was interrupted too often. Try it again, or upload it anew.",
                retryable=True,
            )
        await self._announce()
        work, watch = asyncio.create_task(self._work()), asyncio.create_task(self._watch())
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Whoever is told that the work is over may rely on it: the parser's process has ended, too.
            ended = work if work.done() else watch
            await to_its_end(end_tasks([work, watch]))
        ended.result()

    async def _work(self) -> None:
        text, model_id = StoredText(self._chunks, whole=self._claimed.chunks_total is not None), self._model_id
        if text.whole:
            await self._embed(model_id, text)
        else:
            await self._parse_and_embed(model_id, text)
        # Again, where another space has come to be searched meanwhile.
        while (searched := await self._make_ready(model_id)) is not None:
            model_id = searched
            await self._embed(model_id, text)
        await self._announce()

    async def _parse_and_embed(self, model_id: str, text: StoredText) -> None:
        """Embed what has been read while the rest is. A model that fails does not end the reading: a retry goes on with
        the vectors where all of the text is there."""
        embedding = asyncio.create_task(self._embed(model_id, text))
        try:
            await self._parse(text)
            await embedding
        finally:
            await end_tasks([embedding])
            if embedding.done() and not embedding.cancelled():
                embedding.exception()  # what has happened to the text says more

    async def release(self) -> None:
        """Give the document back to the queue, if it is still ours."""
        with suppress(DocumentTakenError):
            async with self._services.postgres.write(self._tenant_id) as tx:
                await ingestion.release(tx, self._document_id, self._claimed.epoch)

    async def wake(self) -> None:
        """Have a worker, this one or another, begin again at once."""
        await self._services.queue.ingest_document(self._tenant_id, self._document_id, self._claimed.epoch)

    async def fail(self, code: ErrorCode, message: str, *, retryable: bool) -> None:
        with suppress(DocumentTakenError):
            async with self._services.postgres.write(self._tenant_id) as tx:
                await ingestion.fail(tx, self._document_id, self._claimed.epoch, code, message, retryable=retryable)
        await self._announce()

    async def _parse(self, text: StoredText) -> None:
        settings = self._services.settings
        limits = ParserLimits(
            wall_seconds=settings.parser_timeout,
            memory_bytes=settings.parser_memory_bytes,
            max_pages=settings.document_max_pages,
        )
        batch: list[ParsedPage] = []
        done, size, chars = 0, PAGE_BATCH, 0
        async with (
            self._original() as path,
            aclosing(parse(path, ContentType(self._claimed.content_type), limits)) as pages,
        ):
            async for item in pages:
                if isinstance(item, DocumentOpened):
                    await self._progress(pages_total=item.pages or 1, page_count=item.pages, encoding=item.encoding)
                    continue
                batch.append(item)
                chars += len(item.text)
                if len(batch) >= size or chars >= MOST_CHARS:
                    done += len(batch)
                    await self._store_pages(batch, done)
                    text.grow(self._chunks)
                    batch, size, chars = [], min(2 * size, MOST_PAGES), 0
        await self._store_pages(batch, done + len(batch))
        if not self._chunks:
            raise DocumentError(ErrorCode.EMPTY, "The document has no text.")
        await self._read_to_the_end()
        text.grow(self._chunks, whole=True)

    @asynccontextmanager
    async def _original(self) -> AsyncGenerator[Path, None]:
        """Raises `DocumentError` where there is none, or storage is away."""
        async with AsyncExitStack() as stack:
            try:
                original = self._services.files.local(self._tenant_id, self._document_id)
                path = await stack.enter_async_context(original)
            except FileNotFoundError:
                gone = "The original is no longer in storage. Upload it again."
                raise DocumentError(ErrorCode.NOT_FOUND, gone) from None
            except StorageError as error:
                away = "The storage of originals could not be reached. Try again later."
                raise DocumentError(ErrorCode.PROVIDER_UNAVAILABLE, away, retryable=True) from error
            yield path

    async def _store_pages(self, pages: list[ParsedPage], done: int) -> None:
        rows = [(page.number or 1, page.text, list(page.source_map)) for page in pages]
        # Cutting is pure computation: off the event loop, which also keeps the heartbeat going.
        chunks = await asyncio.to_thread(self._cut, pages)
        async with self._services.postgres.write(self._tenant_id) as tx:
            await ingestion.record_progress(tx, self._document_id, self._claimed.epoch, pages_done=done)
            await ingestion.add_pages(tx, self._document_id, rows)
            for start in range(0, len(chunks), CHUNK_BATCH):
                await ingestion.add_chunks(tx, self._document_id, chunks[start : start + CHUNK_BATCH])
        await self._announce()

    def _cut(self, pages: list[ParsedPage]) -> list[NewChunk]:
        chunks: list[NewChunk] = []
        for page in pages:
            for span in chunk_page(page.text):
                text = page.text[span.start : span.end]
                chunks.append(NewChunk(self._chunks, page.number, text, span.start, span.end))
                self._chunks += 1
        return chunks

    async def _make_ready(self, model_id: str) -> str | None:
        """None: it is. Else the space that it has to be embedded in first."""
        async with self._services.postgres.write(self._tenant_id) as tx:
            searched = await ingestion.make_ready(tx, self._document_id, self._claimed.epoch, model_id)
            if searched is not None:
                await document_vectors.drop_embeddings(tx, self._document_id, model_id)
                await ingestion.record_progress(tx, self._document_id, self._claimed.epoch, chunks_done=0)
            return searched

    async def _embed(self, model_id: str, text: StoredText) -> None:
        provider = self._services.providers.embeddings(model_id)
        vectors = DocumentVectors(
            self._services.postgres,
            self._tenant_id,
            self._document_id,
            self._claimed.epoch,
            provider,
            # The local model has no more threads than one for documents, in which they take turns.
            at_once=1 if model_id == LOCAL_MODEL else self._services.settings.embedding_calls,
            gives_way=self._gives_way,
            announce=self._announce,
        )
        done = await vectors.stored()
        if text.whole:
            await self._read_to_the_end(chunks_done=done)
        await vectors.fill(text)

    async def _read_to_the_end(self, **values: Any) -> None:
        await self._progress(status=DocumentStatus.EMBEDDING, chunks_total=self._chunks, **values)

    async def _progress(self, **values: Any) -> None:
        async with self._services.postgres.write(self._tenant_id) as tx:
            await ingestion.record_progress(tx, self._document_id, self._claimed.epoch, **values)
        await self._announce()

    async def _watch(self) -> None:
        """Look whether the document is still ours; and show that the worker lives, also while a slow file or provider
        makes no progress. Raises `DocumentTakenError`."""
        loop = asyncio.get_running_loop()
        next_beat = loop.time() + BEAT_SECONDS
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(SQLAlchemyError, OSError):
                if loop.time() >= next_beat:
                    await self._beat()
                    next_beat = loop.time() + BEAT_SECONDS
                async with self._services.postgres.read(self._tenant_id) as tx:
                    if not await ingestion.is_claimed(tx, self._document_id, self._claimed.epoch):
                        raise DocumentTakenError

    async def _beat(self) -> None:
        async with self._services.postgres.write(self._tenant_id) as tx:
            await ingestion.record_progress(tx, self._document_id, self._claimed.epoch)

    async def _announce(self) -> None:
        """Tell followers to look. They look by themselves every few seconds, so a lost call costs only time."""
        await self._services.document_news.tell(self._tenant_id, self._document_id)
