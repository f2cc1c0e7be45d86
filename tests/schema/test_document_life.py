"""Cancelling, retrying and deleting documents: what is allowed when, and what is left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

import pdfs
from core.ids import NodeKind, new_id, to_global
from core.settings import Settings
from datastores.knowledge import existing_chunks
from datastores.models import Citation
from lifecycle import CANCEL, DELETE, RETRY, WAITING, assert_nothing_left, change, found, removals
from owner import as_owner, counts, kept_files, until, uuid_of
from product import PROGRESS, Person, Product, running_product

TEXT = b"The harbour of Vexholm freezes in December.\n"
QUESTION = "When does the harbour of Vexholm freeze?"
CITED = """query($id: ID!) { node(id: $id) { ... on Answer {
  citations { documentName page quote document { id } chunk { id } } } } }"""
LINK = "query($id: ID!) { node(id: $id) { ... on Document { contentUrl } } }"


async def failed(person: Person, content: bytes = pdfs.encrypted(), name: str = "secret.pdf") -> str:
    """The id of a document that could not be read."""
    document_id: str = (await person.upload(content, name))["document"]["id"]
    last = [event async for event in person.subscribe(PROGRESS, "documentProgress", id=document_id)][-1]
    assert last["status"] == "FAILED"
    return document_id


async def set_failure(person: Person, document_id: str, code: str) -> None:
    """As if the document had failed so."""
    statement = """UPDATE documents SET status = 'FAILED', failure_code = $2, failure_message = 'Broken.',
      failure_retryable = false WHERE id = $1"""
    await as_owner(person.product.settings, statement, uuid_of(document_id), code)


async def rows(person: Person) -> list[tuple[Any, ...]]:
    """The documents as they are stored."""
    statement = "SELECT * FROM documents WHERE tenant_id = $1 ORDER BY id"
    return await as_owner(person.product.settings, statement, person.tenant_id)


@pytest.mark.parametrize("mutation", [CANCEL, RETRY, DELETE], ids=["cancel", "retry", "delete"])
async def test_what_is_not_there_or_not_one_s_own_is_not_found_and_changes_nothing(
    product: Product, mutation: str
) -> None:
    person, other = await product.sign_up(), await product.sign_up()
    theirs = await failed(other)
    before = await rows(other)
    assert (await change(person, mutation, "nonsense"))["code"] == "INVALID_INPUT"
    assert (await change(person, mutation, "nonsense"))["field"] == "documentId"
    missing = await change(person, mutation, to_global(NodeKind.DOCUMENT, new_id()))
    assert (missing["__typename"], missing["reason"]) == ("NotFound", "There is no such document.")
    assert await change(person, mutation, theirs) == missing
    assert await rows(other) == before
    assert len(kept_files(other)) == 1


async def test_a_document_that_waits_is_cancelled_for_good_and_may_be_tried_again(settings: Settings) -> None:
    async with running_product(settings, worker=False) as idle:
        person = await idle.sign_up()
        document_id = (await person.upload(TEXT))["document"]["id"]
        events = person.subscribe(PROGRESS, "documentProgress", id=document_id)
        assert (await anext(events))["status"] == "QUEUED"
        result = await change(person, CANCEL, document_id)
        assert result["document"]["status"] == "CANCELLED"
        # Who watches is told, and told no more.
        assert [event["status"] async for event in events] == ["CANCELLED"]
        before = await rows(person)
        assert await change(person, CANCEL, document_id) == result
        assert await rows(person) == before
    async with running_product(settings, flush=False) as product:
        person.product = product
        # The wake-up of the upload is still in the queue.
        other = await person.ready_document(TEXT * 2, "other.txt")
        assert await rows(person) != before
        assert [row for row in await rows(person) if row[1] == uuid_of(document_id)] == before
        assert (await change(person, RETRY, document_id))["document"]["status"] == "QUEUED"
        last = [event async for event in person.subscribe(PROGRESS, "documentProgress", id=document_id)][-1]
        assert last["status"] == "READY"
        await change(person, DELETE, other)
        assert await found(person, QUESTION) == [TEXT.decode().strip()]


@pytest.mark.parametrize(
    ("status", "mutation", "words"),
    [
        ("READY", CANCEL, "READY: there is nothing to cancel"),
        ("FAILED", CANCEL, "FAILED: there is nothing to cancel"),
        ("READY", RETRY, "READY: only what has failed or was cancelled"),
        ("QUEUED", RETRY, "QUEUED: only what has failed or was cancelled"),
        ("PARSING", RETRY, "PARSING: only what has failed or was cancelled"),
        ("EMBEDDING", RETRY, "EMBEDDING: only what has failed or was cancelled"),
    ],
)
async def test_what_does_not_fit_the_document_s_status_is_a_conflict_and_changes_nothing(
    product: Product, status: str, mutation: str, words: str
) -> None:
    person = await product.sign_up()
    document_id = await person.ready_document(TEXT)
    await as_owner(product.settings, "UPDATE documents SET status = $2 WHERE id = $1", uuid_of(document_id), status)
    before = await rows(person)
    result = await change(person, mutation, document_id)
    assert (result["__typename"], result["code"]) == ("Conflict", "CONFLICT")
    assert words in result["reason"]
    assert await rows(person) == before


async def test_a_file_that_cannot_be_read_is_not_read_again(product: Product) -> None:
    person = await product.sign_up()
    document_id = await failed(person)
    for code in ("ENCRYPTED", "NO_TEXT", "EMPTY", "CORRUPT", "UNSUPPORTED_TYPE", "TOO_LARGE", "TOO_MANY_PAGES"):
        await set_failure(person, document_id, code)
        before = await rows(person)
        result = await change(person, RETRY, document_id)
        assert (result["__typename"], result["reason"]) == (
            "Conflict",
            "It is the file that cannot be read: upload another one.",
        )
        assert await rows(person) == before


@pytest.mark.parametrize("code", ["PROVIDER_AUTH", "PROVIDER_UNAVAILABLE", "TIMED_OUT", "NOT_FOUND", "INTERRUPTED"])
async def test_a_failure_whose_reason_may_be_gone_is_tried_again_though_nothing_said_so(
    product: Product, code: str
) -> None:
    person = await product.sign_up()
    document_id = await person.ready_document(TEXT)
    await set_failure(person, document_id, code)
    result = await change(person, RETRY, document_id)
    assert (result["document"]["status"], result["document"]["failure"]) == ("QUEUED", None)
    last = [event async for event in person.subscribe(PROGRESS, "documentProgress", id=document_id)][-1]
    assert (last["status"], last["failure"]) == ("READY", None)
    assert (await counts(person))["embeddings"] == 1


async def test_a_failed_document_is_not_brought_back_beside_its_copy(product: Product) -> None:
    person = await product.sign_up()
    document_id = await person.ready_document(TEXT)
    await set_failure(person, document_id, "PROVIDER_UNAVAILABLE")
    copy = await person.ready_document(TEXT, "again.txt")
    before = await rows(person)
    result = await change(person, RETRY, document_id)
    assert (result["__typename"], result["code"], result["document"]["id"]) == ("DuplicateDocument", "DUPLICATE", copy)
    assert await rows(person) == before
    await change(person, DELETE, copy)
    assert (await change(person, RETRY, document_id))["__typename"] == "RetryDocumentPayload"


async def test_a_retry_counts_as_an_upload(settings: Settings) -> None:
    tight = {"rate_limit_uploads_per_minute": 1, "rate_limit_uploads_burst": 2}
    async with running_product(settings.model_copy(update=tight)) as product:
        person = await product.sign_up()
        document_id = await failed(person)
        assert (await change(person, RETRY, document_id))["__typename"] == "Conflict"
        result = await change(person, RETRY, document_id)
        assert (result["__typename"], result["code"]) == ("RateLimited", "RATE_LIMITED")
        # Getting rid of it is no work for anybody.
        assert (await change(person, DELETE, document_id))["documentId"] == document_id


@pytest.mark.parametrize("status", ["QUEUED", "PARSING", "EMBEDDING", "READY", "FAILED", "CANCELLED"])
async def test_a_deleted_document_leaves_nothing_whatever_its_status(product: Product, status: str) -> None:
    person = await product.sign_up()
    assistants = (await person.query("{ viewer { assistants { nodes { id } } } }"))["viewer"]["assistants"]["nodes"]
    document_id = (await person.upload(TEXT, assistantId=assistants[0]["id"]))["document"]["id"]
    _ = [event async for event in person.subscribe(PROGRESS, "documentProgress", id=document_id)]
    link = (await person.query(LINK, id=document_id))["node"]["contentUrl"]
    await as_owner(product.settings, "UPDATE documents SET status = $2 WHERE id = $1", uuid_of(document_id), status)
    assert set((await counts(person)).values()) == {1}
    assert len(kept_files(person)) == 1
    assert await change(person, DELETE, document_id) == {
        "__typename": "DeleteDocumentPayload",
        "documentId": document_id,
    }
    await assert_nothing_left(person)
    assert await found(person, QUESTION) == []
    async with product.http.get(link) as response:
        assert response.status == 404
    assert (await change(person, DELETE, document_id))["__typename"] == "NotFound"
    # The bytes may come again.
    assert (await person.upload(TEXT))["__typename"] == "UploadDocumentPayload"


async def test_citations_outlive_the_document(product: Product) -> None:
    person = await product.sign_up()
    page = pdfs.typeset((72, 100, "The harbour of Vexholm freezes in December."))
    document_id = await person.ready_document(page, "manual.pdf")
    answer = (await person.ask(QUESTION))[-1]["answer"]["id"]
    before = (await person.query(CITED, id=answer))["node"]["citations"]
    assert before
    assert {cited["document"]["id"] for cited in before} == {document_id}
    await change(person, DELETE, document_id)
    after = (await person.query(CITED, id=answer))["node"]["citations"]
    assert after == [{**cited, "document": None, "chunk": None} for cited in before]
    assert all(cited["quote"] and cited["page"] and cited["documentName"] == "manual.pdf" for cited in after)


async def test_an_answer_that_is_stored_and_a_document_that_is_deleted_do_not_wait_for_each_other_for_ever(
    own_product: Product,
) -> None:
    person = await own_product.sign_up()
    document_id = await person.ready_document(TEXT)
    answer = (await person.ask(QUESTION))[-1]["answer"]
    ((chunk,),) = await as_owner(own_product.settings, "SELECT id FROM chunks")
    async with own_product.services.postgres.write(person.tenant_id) as tx:
        assert await existing_chunks(tx, [chunk]) == {chunk}
        deleting = asyncio.create_task(change(person, DELETE, document_id))

        async def waits() -> bool:
            return await as_owner(own_product.settings, WAITING) == [(1,)]

        await until(waits)
        # As a second citation of the same answer would be stored; its keys hold the chunk and the document.
        cited = {"answer_id": uuid_of(answer["id"]), "marker": 99, "chunk_id": chunk, "document_name": "notes.txt"}
        more = {"document_id": uuid_of(document_id), "quote": "freezes", "distance": 0.1}
        await tx.execute(sa.insert(Citation).values(tenant_id=person.tenant_id, id=new_id(), **cited, **more))
    assert (await deleting)["documentId"] == document_id
    links = "SELECT marker, chunk_id, document_id FROM citations ORDER BY marker"
    assert await as_owner(own_product.settings, links) == [(1, None, None), (99, None, None)]


async def test_a_file_that_cannot_be_removed_at_once_waits_for_the_sweep(product: Product) -> None:
    person = await product.sign_up()
    document_id = await person.ready_document(TEXT)
    (file,) = kept_files(person)
    file.unlink()
    file.mkdir()
    assert (await change(person, DELETE, document_id))["documentId"] == document_id
    assert (await counts(person))["documents"] == 0
    assert await removals(person) == [uuid_of(document_id)]
    file.rmdir()
    file.write_bytes(TEXT)
    statement = "UPDATE outbox SET next_try_at = now() WHERE tenant_id = $1"
    await as_owner(product.settings, statement, person.tenant_id)

    async def swept() -> bool:
        return not await removals(person)

    await until(swept)
    await assert_nothing_left(person)
