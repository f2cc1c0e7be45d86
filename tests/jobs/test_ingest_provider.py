"""The ingest job and an embedding provider that fails: tried again, given up in clear words, never half stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from ingesting import OneByOne, Queued, batches, job_services, queued

import pdfs
from core.settings import Settings
from jobs import embedding
from jobs.services import JobServices
from lifecycle import RETRY, change, found
from owner import as_owner, until
from product import Product, running_product
from wire import Fail, GeminiServer, Until

STATUS = grpc.StatusCode
TEXT = b"The harbour of Vexholm freezes in December.\n"
UNAVAILABLE = Fail(STATUS.UNAVAILABLE)


@pytest.fixture
def server(gemini_and_settings: tuple[GeminiServer, Settings]) -> GeminiServer:
    """The vendor."""
    return gemini_and_settings[0]


@pytest.fixture
async def idle(gemini_and_settings: tuple[GeminiServer, Settings]) -> AsyncIterator[Product]:
    """A product without a worker, whose new tenants' vectors are Gemini's."""
    async with running_product(gemini_and_settings[1], worker=False) as product:
        yield product


@pytest.fixture(autouse=True)
def shorter_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the pauses between the tries."""
    monkeypatch.setattr(embedding, "EMBEDDING_BACKOFF", embedding.EMBEDDING_BACKOFF / 10)


async def test_a_provider_that_comes_back_within_three_tries_costs_nothing_but_time(
    idle: Product, services: JobServices, server: GeminiServer
) -> None:
    document = await queued(idle, TEXT)
    server.embedding_script = OneByOne([UNAVAILABLE], [UNAVAILABLE])
    await document.run(services)
    assert (await document.state()).status == "READY"
    assert await document.stored() == (1, 1)
    assert batches(server) == [1, 1, 1]
    models = await as_owner(idle.settings, "SELECT model_id, vector_dims(vector) FROM embeddings")
    assert models == [("gemini-embedding-001@768", 768)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("fail", "code", "retryable", "tries"),
    [
        (UNAVAILABLE, "PROVIDER_UNAVAILABLE", True, 3),
        (Fail(STATUS.RESOURCE_EXHAUSTED, retry_after=0.01), "PROVIDER_RATE_LIMITED", True, 3),
        (Fail(STATUS.UNAUTHENTICATED), "PROVIDER_AUTH", False, 1),
        (Fail(STATUS.PERMISSION_DENIED), "PROVIDER_AUTH", False, 1),
        (Fail(STATUS.NOT_FOUND), "PROVIDER_BAD_RESPONSE", False, 1),
    ],
    ids=lambda value: value.code.name if isinstance(value, Fail) else "",
)
async def test_a_provider_that_goes_on_failing_fails_the_document_and_leaves_nothing_of_it_to_be_found(
    idle: Product, services: JobServices, server: GeminiServer, fail: Fail, code: str, retryable: bool, tries: int
) -> None:
    person = await idle.sign_up()
    document = await queued(idle, pdfs.manual(3), "manual.pdf", person)
    server.embedding_script = [fail]
    await document.run(services)
    server.embedding_script = []
    state = await document.state()
    assert (state.status, state.code, state.retryable) == ("FAILED", code, retryable)
    assert state.message
    assert "internal text of the vendor" not in state.message
    assert "UNAVAILABLE" not in state.message
    assert len(batches(server)) == tries
    assert await found(person, await document.text()) == []
    # Its text has been read, and is not read again.
    kept = await document.chunk_ids()
    assert (await change(person, RETRY, document.name))["__typename"] == "RetryDocumentPayload"
    await document.run(services)
    assert (await document.state()).status == "READY"
    assert await document.chunk_ids() == kept
    assert await document.stored() == (3, len(kept))
    assert await found(person, await document.text()) != []


@pytest.mark.long
async def test_a_retry_goes_on_with_the_batch_that_failed(
    idle: Product, services: JobServices, server: GeminiServer
) -> None:
    person = await idle.sign_up()
    document = await queued(idle, pdfs.manual(120), "manual.pdf", person)
    server.embedding_script = OneByOne([], *[[UNAVAILABLE]] * 3)
    await document.run(services)
    state = await document.state()
    assert (state.status, state.code, state.chunks_done) == ("FAILED", "PROVIDER_UNAVAILABLE", 100)
    rows = await document.rows()
    assert (rows["pages"], rows["chunks"], rows["embeddings"]) == (120, state.chunks_total, 100)
    assert await found(person, await document.text()) == []
    server.embedding_script, server.asked = [], []
    retried = (await change(person, RETRY, document.name))["document"]["progress"]
    assert retried == {"chunksDone": 100, "chunksTotal": rows["chunks"]}
    await document.run(services)
    assert (await document.state()).status == "READY"
    assert await document.stored() == (120, rows["chunks"])
    assert sum(batches(server)) == rows["chunks"] - 100


async def test_a_failed_document_whose_text_was_not_kept_is_read_again(
    idle: Product, services: JobServices, server: GeminiServer
) -> None:
    person = await idle.sign_up()
    document = await queued(idle, pdfs.manual(3), "manual.pdf", person)
    server.embedding_script = OneByOne(*[[UNAVAILABLE]] * 3)
    await document.run(services)
    # As an earlier version left it, or somebody who has cleaned up behind the product's back.
    await as_owner(idle.settings, "DELETE FROM chunks WHERE document_id = $1 AND ordinal > 0", document.id)
    await change(person, RETRY, document.name)
    await document.run(services)
    state = await document.state()
    assert state.status == "READY"
    assert await document.stored() == (3, state.chunks_total)


@pytest.mark.long
async def test_batches_are_as_large_as_the_provider_takes(
    idle: Product, services: JobServices, server: GeminiServer
) -> None:
    document = await queued(idle, pdfs.manual(120), "manual.pdf")
    await document.run(services)
    _, chunks = await document.stored()
    assert batches(server) == [100] * (chunks // 100) + [chunks % 100]


async def test_a_provider_that_says_nothing_is_given_up_in_time(
    idle: Product, server: GeminiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await queued(idle, TEXT)
    server.embedding_script = [Until()]
    monkeypatch.setattr(embedding, "EMBEDDING_TIMEOUT", 0.3)
    async with job_services(idle.settings) as services:
        await document.run(services)
    state = await document.state()
    assert (state.status, state.code, state.retryable) == ("FAILED", "TIMED_OUT", True)
    assert len(batches(server)) == 3


async def test_a_model_that_is_not_set_up_here_fails_the_document_in_clear_words(
    idle: Product, services: JobServices
) -> None:
    document = await queued(idle, TEXT)
    await as_owner(idle.settings, "UPDATE tenants SET embedding_model_id = 'gone-model@1024'")
    await document.run(services)
    state = await document.state()
    assert (state.status, state.code, state.retryable) == ("FAILED", "PROVIDER_UNAVAILABLE", False)
    assert state.message == "The model that these documents were embedded with is not set up here."


@pytest.mark.long
async def test_a_worker_that_wakes_up_after_another_took_over_writes_nothing(
    idle: Product, services: JobServices, server: GeminiServer
) -> None:
    document = await queued(idle, pdfs.manual(3), "manual.pdf")
    asleep = Until()
    server.embedding_script = OneByOne([asleep])
    sleeper = asyncio.create_task(document.run(services))
    await _until_asked(server, 1)
    await document.age()
    await document.run(services)
    before, chunks = await document.state(), await document.chunk_ids()
    assert (before.status, before.claims) == ("READY", (2, 1))
    asleep.event.set()
    await sleeper
    assert (await document.state(), await document.chunk_ids()) == (before, chunks)
    assert await document.stored() == (3, len(chunks))


async def test_a_document_that_is_deleted_while_it_is_embedded_leaves_nothing(
    idle: Product, services: JobServices, server: GeminiServer
) -> None:
    document = await queued(idle, pdfs.manual(3), "manual.pdf")
    asleep = Until()
    server.embedding_script = [asleep]
    running = asyncio.create_task(document.run(services))
    await _until_asked(server, 1)
    await as_owner(idle.settings, "DELETE FROM documents WHERE id = $1", document.id)
    asleep.event.set()
    await running
    assert await document.stored() == (0, 0)


async def test_a_failed_document_is_told_to_its_watcher_as_it_is_stored(
    idle: Product, services: JobServices, server: GeminiServer
) -> None:
    person = await idle.sign_up()
    document: Queued = await queued(idle, TEXT, person=person)
    server.embedding_script = [Fail(STATUS.UNAUTHENTICATED)]
    query = """{ viewer { documents { nodes { status failure { code message retryable } } } } }"""
    await document.run(services)
    (node,) = (await person.query(query))["viewer"]["documents"]["nodes"]
    expected: dict[str, Any] = {
        "code": "PROVIDER_AUTH",
        "message": "The AI provider refused this deployment's key.",
        "retryable": False,
    }
    assert node == {"status": "FAILED", "failure": expected}


async def _until_asked(server: GeminiServer, calls: int) -> None:
    async def asked() -> bool:
        return len(batches(server)) >= calls

    await until(asked)
