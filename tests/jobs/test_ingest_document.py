"""The ingest job: it may run twice, anywhere, at once, and be cut off anywhere; the document comes out once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import pytest
from ingesting import Queued, a_parser, job_services, log_lines, queued, worker, worker_process
from sqlalchemy import event

import pdfs
from core.errors import ErrorCode
from core.settings import Settings
from core.tasks import end_tasks
from datastores import ingestion
from datastores.ingestion import DocumentTakenError
from datastores.transactions import WriteTransaction
from jobs import ingest_document, queue
from jobs.ingest_document import MAX_VANISHED
from jobs.services import JobServices
from jobs.sweep_documents import sweep_documents
from lifecycle import RETRY, change
from owner import as_owner, until
from product import Product, running_product
from wire import relayed

pytestmark = pytest.mark.long

TEXT = b"The harbour of Vexholm freezes in December.\n"


async def test_a_job_that_runs_again_changes_nothing(idle: Product, services: JobServices) -> None:
    document = await queued(idle, pdfs.manual(5), "manual.pdf")
    await document.run(services)
    first, chunks = await document.state(), await document.chunk_ids()
    assert (first.status, first.epoch) == ("READY", 1)
    assert await document.stored() == (5, len(chunks))
    await document.run(services)
    assert (await document.state(), await document.chunk_ids()) == (first, chunks)


async def test_a_job_that_runs_many_times_at_once_makes_each_chunk_once(idle: Product, services: JobServices) -> None:
    document = await queued(idle, pdfs.manual(5), "manual.pdf")
    await asyncio.gather(*(document.run(services) for _ in range(5)))
    state = await document.state()
    assert (state.status, state.epoch) == ("READY", 1)
    pages, chunks = await document.stored()
    assert (pages, chunks) == (5, state.chunks_total)


async def test_a_worker_that_is_killed_in_a_document_is_replaced_and_the_document_made_once(idle: Product) -> None:
    document = await queued(idle, pdfs.leaflets(300), "manual.pdf")
    async with worker_process(idle.settings) as process:

        async def in_the_middle() -> bool:
            assert process.returncode is None
            state = await document.state()
            return state.status == "EMBEDDING" and state.chunks_done > 0

        await until(in_the_middle)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    cut_off = await document.state()
    assert (cut_off.status, cut_off.epoch) == ("EMBEDDING", 1)
    assert cut_off.chunks_total is not None
    assert 0 < cut_off.chunks_done < cut_off.chunks_total
    embedded = await as_owner(idle.settings, "SELECT id, chunk_id FROM embeddings ORDER BY id")
    await document.age()
    async with worker(idle.settings):
        state = await document.until("READY", "FAILED")
    assert (state.status, state.claims, state.chunks_total) == ("READY", (2, 1), cut_off.chunks_total)
    assert await document.stored() == (300, state.chunks_total)
    # What was paid for is not paid for again.
    vectors = await as_owner(idle.settings, "SELECT id, chunk_id FROM embeddings ORDER BY id")
    assert vectors[: len(embedded)] == embedded


async def test_a_worker_that_is_asked_to_stop_gives_its_document_back_at_once(idle: Product) -> None:
    document = await queued(idle, pdfs.leaflets(300), "manual.pdf")
    async with worker_process(idle.settings) as process:
        await document.until("PARSING", "EMBEDDING")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert (await document.state()).status == "QUEUED"
    async with job_services(idle.settings) as services:
        # Nobody has to wait until the claim looks dead.
        assert await sweep_documents({"services": services}) == 1
        await document.run(services)
    assert (await document.state()).status == "READY"
    await document.stored()


async def test_a_document_outlives_any_number_of_orderly_restarts(idle: Product, services: JobServices) -> None:
    document = await queued(idle, pdfs.leaflets(300), "manual.pdf")
    for restart in range(MAX_VANISHED + 2):
        running = asyncio.create_task(document.run(services))
        await document.until("PARSING", "EMBEDDING")
        await end_tasks([running])
        state = await document.state()
        assert (state.status, state.claims) == ("QUEUED", (restart + 1, 0))
    await document.run(services)
    assert (await document.state()).status == "READY"
    await document.stored()


async def test_a_slow_database_does_not_keep_a_stopping_worker_from_giving_its_document_back(
    idle: Product, services: JobServices
) -> None:
    document = await queued(idle, pdfs.leaflets(300), "manual.pdf")
    running = asyncio.create_task(document.run(services))
    await document.until("PARSING", "EMBEDDING")
    connection = await asyncpg.connect(idle.settings.database_owner_url)
    async with connection.transaction():
        await connection.execute("SELECT FROM documents WHERE id = $1 FOR UPDATE", document.id)
        ending = asyncio.create_task(end_tasks([running]))

        async def asked_again_and_again() -> bool:
            return running.cancelling() >= 3

        await until(asked_again_and_again)
        assert not running.done()
    await connection.close()
    await ending
    assert running.cancelled()
    assert (await document.state()).status == "QUEUED"


async def test_a_wake_up_that_died_with_its_worker_before_the_claim_is_repeated(
    idle: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await queued(idle, TEXT)
    redis = idle.services.redis
    ((job, _),) = await redis.zrange(queue.redis_keys.QUEUE, 0, -1, withscores=True)
    # What a worker does first: from here on no other one takes this job.
    await redis.psetex(b"arq:in-progress:" + job, 6 * 3600 * 1000, b"1")
    await document.age()
    monkeypatch.setattr(queue, "WAKE_SECONDS", 0.5)
    async with worker(idle.settings):
        assert (await document.until("READY", "FAILED")).status == "READY"


async def test_a_document_that_kills_every_worker_fails_in_the_end_and_may_be_tried_again(
    idle: Product, services: JobServices
) -> None:
    person = await idle.sign_up()
    document = await queued(idle, TEXT, person=person)
    # A fault of ours in the middle of the job: it is the sweep's, not the person's.
    await document.change("content_type = 'application/unheard-of'")
    for vanished in range(MAX_VANISHED):
        with pytest.raises(ValueError, match="unheard-of"):
            await document.run(services)
        state = await document.state()
        assert (state.status, state.claims) == ("PARSING", (vanished + 1, vanished))
        await document.age()
    assert await sweep_documents({"services": services}) == 1
    await document.run(services)
    failed = await document.state()
    assert (failed.status, failed.code, failed.retryable) == ("FAILED", "INTERRUPTED", True)
    assert failed.message == "Reading this document was interrupted too often. Try it again, or upload it anew."
    assert await sweep_documents({"services": services}) == 0
    # Once the fault is gone, what it did to workers before is forgotten.
    await document.change("content_type = 'text/plain'")
    assert (await change(person, RETRY, document.name))["document"]["status"] == "QUEUED"
    assert (await document.state()).claims == (MAX_VANISHED + 2, 0)
    await document.run(services)
    assert ((await document.state()).status, await document.stored()) == ("READY", (1, 1))


async def test_a_document_uploaded_while_redis_is_away_is_found_by_the_sweep(settings: Settings) -> None:
    assert settings.redis_url is not None
    async with (
        relayed(settings.redis_url) as (url, relay),
        running_product(settings.model_copy(update={"redis_url": url}), worker=False) as product,
    ):
        await relay.close()
        document = await queued(product, TEXT)
        assert (await document.state()).status == "QUEUED"
    await document.age()
    async with worker(settings):
        assert (await document.until("READY", "FAILED")).status == "READY"
    assert await document.stored() == (1, 1)


async def test_a_document_in_good_hands_is_left_alone(idle: Product, services: JobServices) -> None:
    document = await queued(idle, TEXT)
    async with services.postgres.write(document.tenant) as tx:
        assert await ingestion.claim(tx, document.id) is not None
    before = await document.state()
    assert await sweep_documents({"services": services}) == 0
    await document.run(services)
    assert await document.state() == before


async def test_a_worker_whose_claim_is_old_can_write_nothing(idle: Product, services: JobServices) -> None:
    document = await queued(idle, TEXT)
    async with services.postgres.write(document.tenant) as tx:
        claimed = await ingestion.claim(tx, document.id)
    assert claimed is not None
    await document.age()
    await document.run(services)
    before, chunks = await document.state(), await document.chunk_ids()
    assert (before.status, before.claims) == ("READY", (2, 1))
    for status in ("READY", "PARSING"):
        await document.change(f"status = '{status}'")
        for write in (_a_page, _a_failure, ingestion.release):
            with pytest.raises(DocumentTakenError):
                await _in_a_transaction(services, document, claimed.epoch, write)
    await document.change("status = 'READY'")
    assert (await document.state(), await document.chunk_ids()) == (before, chunks)
    assert await document.stored() == (1, 1)


async def test_statements_are_by_the_batch_and_not_by_the_chunk(
    idle: Product, services: JobServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_document, "LOOK_SECONDS", 60.0)  # these go by time
    statements: list[str] = []
    engine = services.postgres.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda _c, _cu, statement, *_: statements.append(statement))
    person = await idle.sign_up()
    counts = {}
    for paragraphs in (3, 60):
        content = b"".join(TEXT * 9 + b"Paragraph %d.\n\n" % number for number in range(paragraphs))
        document = await queued(idle, content, f"{paragraphs}.txt", person)
        statements.clear()
        await document.run(services)
        counts[(await document.stored())[1]] = len(statements)
    (few, many) = sorted(counts)
    assert many >= 20 * few
    assert counts[few] == counts[many], counts


async def test_an_original_that_is_lost_fails_the_document_in_clear_words(idle: Product, services: JobServices) -> None:
    document = await queued(idle, TEXT)
    services.files.path(document.tenant, document.id).unlink()
    await document.run(services)
    state = await document.state()
    assert (state.status, state.code, state.retryable) == ("FAILED", "NOT_FOUND", False)
    assert state.message == "The original is no longer in storage. Upload it again."


async def test_a_parser_that_dies_is_written_to_the_log_and_not_to_the_person(
    idle: Product, services: JobServices
) -> None:
    document = await queued(idle, pdfs.nested_forms(), "hostile.pdf")
    running = asyncio.create_task(document.run(services))
    with log_lines("jobs.ingest_document") as lines:
        (await a_parser()).kill()
        await running
    state = await document.state()
    assert (state.status, state.code) == ("FAILED", "CORRUPT")
    assert state.message is not None
    assert "damaged" in state.message
    (line,) = lines
    assert line.exc_info or line.msg["exc_info"]
    assert "status -9" in str(line.msg) + str(line.exc_info)
    assert "-9" not in state.message


async def test_a_document_that_is_deleted_in_the_middle_leaves_nothing(idle: Product, services: JobServices) -> None:
    document = await queued(idle, pdfs.nested_forms(), "hostile.pdf")
    running = asyncio.create_task(document.run(services))
    parser = await a_parser()
    await as_owner(idle.settings, "DELETE FROM documents WHERE id = $1", document.id)
    parser.kill()
    await running
    assert await document.stored() == (0, 0)


async def _a_page(tx: WriteTransaction, document_id: UUID, epoch: int) -> None:
    await ingestion.add_pages(tx, document_id, [(7, "late", None)])
    await ingestion.record_progress(tx, document_id, epoch, pages_done=7)


async def _a_failure(tx: WriteTransaction, document_id: UUID, epoch: int) -> None:
    await ingestion.fail(tx, document_id, epoch, ErrorCode.CORRUPT, "late", retryable=False)


async def _in_a_transaction(
    services: JobServices, document: Queued, epoch: int, write: Callable[[WriteTransaction, UUID, int], Awaitable[None]]
) -> None:
    async with services.postgres.write(document.tenant) as tx:
        await write(tx, document.id, epoch)
