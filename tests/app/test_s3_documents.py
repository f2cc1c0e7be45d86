"""The life of documents whose originals are in a bucket, with the server there and with it away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import pdfs
from app.services import job_services
from core.settings import Settings
from datastores.storage.s3_wire import TRIES
from jobs.sweep_files import sweep_files
from lifecycle import DELETE, RETRY, change, found, removals
from owner import as_owner, counts, kept_files, until, uuid_of
from product import PROGRESS, Person, Product, running_product
from s3_server import S3Server
from wire import Relay, relayed

LINK = "query($id: ID!) { node(id: $id) { ... on Document { contentUrl } } }"
TEXT = b"The harbour of Vexholm freezes in December.\n"
QUESTION = "When does the harbour freeze?"


@asynccontextmanager
async def behind_a_relay(
    s3: S3Server, settings: Settings, prefix: str, *, worker: bool = True
) -> AsyncIterator[tuple[Product, Relay]]:
    """A product that reaches the server by way of a relay."""
    async with relayed(f"{s3.url}/") as (url, relay):
        by_it = s3.settings(settings, prefix, s3_endpoint=url.removesuffix("/"), s3_timeout=4.0)
        async with running_product(by_it, worker=worker) as product:
            yield product, relay


def name_of(person: Person, document_id: str) -> str:
    """The name of its original, below the prefix."""
    return f"{person.tenant_id.hex}/{uuid_of(document_id).hex}"


async def download(person: Person, document_id: str, **headers: str) -> tuple[int, bytes, Any]:
    """Its original, by its link."""
    url = (await person.query(LINK, id=document_id))["node"]["contentUrl"]
    async with person.product.http.get(url, headers=headers) as response:
        return response.status, await response.read(), response.headers


async def ended(person: Person, document_id: str) -> dict[str, Any]:
    """How its reading ended."""
    return [event async for event in person.subscribe(PROGRESS, "documentProgress", id=document_id)][-1]


async def due(person: Person) -> None:
    """As if the time for recording what was being uploaded were over, and the pause after a refusal."""
    await as_owner(person.product.settings, "UPDATE outbox SET next_try_at = now() WHERE topic = 'file'")


async def swept(settings: Settings) -> int:
    """What a worker's sweep removes."""
    async with job_services(settings) as services:
        return await sweep_files({"services": services})


async def test_a_document_lives_in_the_bucket_from_upload_to_deletion(
    s3: S3Server, settings: Settings, prefix: str
) -> None:
    content = pdfs.manual(5)
    async with running_product(s3.settings(settings, prefix)) as product:
        person = await product.sign_up()
        document_id = await person.ready_document(content, "manual.pdf")
        assert await s3.objects(prefix) == {name_of(person, document_id): len(content)}
        assert kept_files(person) == []
        assert list((settings.data_dir / "copies").iterdir()) == []
        again = await person.upload(content, "again.pdf")
        assert (again["__typename"], again["document"]["id"]) == ("DuplicateDocument", document_id)
        assert list(await s3.objects(prefix)) == [name_of(person, document_id)]
        note = await person.ready_document(TEXT)
        events = await person.ask(QUESTION)
        assert events[-1]["__typename"] == "AnswerCompleted"
        assert "December" in events[-1]["answer"]["message"]["text"]

        status, body, headers = await download(person, document_id)
        assert (status, body) == (200, content)
        assert headers["Content-Type"] == "application/pdf"
        assert "sandbox" in headers["Content-Security-Policy"]
        status, body, headers = await download(person, document_id, Range="bytes=100-1099")
        assert (status, body) == (206, content[100:1100])
        assert headers["Content-Range"] == f"bytes 100-1099/{len(content)}"
        status, body, _ = await download(person, document_id, Range="bytes=0-3,-4")
        assert status == 206
        assert content[:4] in body
        assert content[-4:] in body

        for one in (document_id, note):
            assert (await change(person, DELETE, one))["__typename"] == "DeleteDocumentPayload"
        assert await s3.objects(prefix) == {}
        assert set((await counts(person)).values()) == {0}
        assert await removals(person) == []


async def test_a_file_that_is_too_large_leaves_neither_object_nor_parts(
    s3: S3Server, settings: Settings, prefix: str
) -> None:
    limited = s3.settings(settings, prefix, upload_max_bytes=9_000_000)
    async with running_product(limited, worker=False) as product:
        person = await product.sign_up()
        refused = await person.upload(bytes(9_000_001))
        assert (refused["__typename"], refused["code"]) == ("UploadRejected", "TOO_LARGE")
        assert (await s3.objects(prefix), await s3.unfinished(prefix)) == ({}, [])
        assert await removals(person) == []


async def test_an_upload_while_the_server_is_away_is_told_to_come_again_and_leaves_nothing(
    s3: S3Server, settings: Settings, prefix: str
) -> None:
    async with behind_a_relay(s3, settings, prefix, worker=False) as (product, relay):
        person = await product.sign_up()
        await relay.close()
        body = await product.upload_raw(person.token, TEXT, "notes.txt")
        (error,) = body["errors"]
        assert error["message"] == "The file could not be stored. Nothing has been kept of it: try again shortly."
        assert error["extensions"]["code"] == "INTERNAL"
        assert error["extensions"]["retryAfterMs"] == 5_000
        assert str(relay.port) not in str(body)
        assert (await counts(person))["documents"] == 0
        # What has been sent may arrive yet, so it is looked for later.
        assert len(await removals(person)) == 1
        await relay.listen_again()
        assert await swept(product.settings) == 0
        await due(person)
        assert await swept(product.settings) == 1
        assert await removals(person) == []
        assert (await person.upload(TEXT))["__typename"] == "UploadDocumentPayload"


async def test_what_a_server_may_still_get_of_an_upload_that_failed_is_removed_when_it_can_have_come(
    s3: S3Server, settings: Settings, prefix: str
) -> None:
    async with behind_a_relay(s3, settings, prefix, worker=False) as (product, relay):
        person = await product.sign_up()
        # It is back at once: a deletion would succeed, and what was sent before might arrive behind it.
        await relay.drop(2 * TRIES)  # the HTTP client itself tries each of them twice
        body = await product.upload_raw(person.token, TEXT, "notes.txt")
        assert body["errors"][0]["extensions"]["retryAfterMs"] == 5_000
        assert len(await removals(person)) == 1
        await due(person)
        assert await swept(product.settings) == 1


async def test_a_server_that_dies_in_the_middle_of_an_upload_leaves_nothing_for_good(
    s3: S3Server, settings: Settings, prefix: str
) -> None:
    async with behind_a_relay(s3, settings, prefix, worker=False) as (product, relay):
        person = await product.sign_up()

        async def begun() -> bool:
            return await s3.unfinished(prefix) != []

        # Eight parts, of which the first few have come when it is seen.
        uploading = asyncio.create_task(product.upload_raw(person.token, bytes(64 * 1024 * 1024), "notes.txt"))
        await until(begun)
        await relay.close()
        body = await uploading
        assert body["errors"][0]["extensions"]["retryAfterMs"] == 5_000
        assert len(await s3.unfinished(prefix)) == 1
        await relay.listen_again()
        await due(person)
        assert await swept(product.settings) == 1
        assert (await s3.objects(prefix), await s3.unfinished(prefix), await removals(person)) == ({}, [], [])


@pytest.mark.parametrize("how", ["refuses", "is silent"])
async def test_a_document_that_cannot_be_fetched_fails_retryably_and_is_read_once_the_server_is_back(
    s3: S3Server, settings: Settings, prefix: str, how: str
) -> None:
    async with behind_a_relay(s3, settings, prefix, worker=False) as (product, relay):
        person = await product.sign_up()
        document_id = (await person.upload(TEXT))["document"]["id"]
        if how == "refuses":
            await relay.close()
        else:
            relay.hang()
        async with running_product(product.settings, flush=False):  # its worker
            event = await ended(person, document_id)
            assert event["status"] == "FAILED"
            assert event["failure"] == {
                "code": "PROVIDER_UNAVAILABLE",
                "message": "The storage of originals could not be reached. Try again later.",
                "retryable": True,
            }
            if how == "refuses":
                await relay.listen_again()
            else:
                await relay.answer_again()
            assert (await change(person, RETRY, document_id))["__typename"] == "RetryDocumentPayload"
            assert (await ended(person, document_id))["status"] == "READY"
            assert await found(person, QUESTION) == [TEXT.decode().strip()]
        assert list((settings.data_dir / "copies").iterdir()) == []


async def test_an_original_that_is_gone_from_the_bucket_is_told_as_gone(
    s3: S3Server, settings: Settings, prefix: str
) -> None:
    async with running_product(s3.settings(settings, prefix)) as product:
        person = await product.sign_up()
        document_id = await person.ready_document(TEXT)
        await s3.remove(prefix, name_of(person, document_id))
        assert (await download(person, document_id))[0] == 404
        await as_owner(settings, "UPDATE documents SET status = 'FAILED', chunks_total = NULL")
        await change(person, RETRY, document_id)
        event = await ended(person, document_id)
        assert (event["failure"]["code"], event["failure"]["retryable"]) == ("NOT_FOUND", False)


async def test_while_the_server_is_away_downloads_come_later_and_deletions_are_done(
    s3: S3Server, settings: Settings, prefix: str
) -> None:
    async with behind_a_relay(s3, settings, prefix) as (product, relay):
        person = await product.sign_up()
        document_id = await person.ready_document(TEXT)
        await relay.close()
        status, body, headers = await download(person, document_id)
        assert (status, body, headers["Retry-After"]) == (503, b"Try again shortly.", "5")
        assert (await person.ask(QUESTION))[-1]["__typename"] == "AnswerCompleted"
        assert (await change(person, DELETE, document_id))["__typename"] == "DeleteDocumentPayload"
        assert set((await counts(person)).values()) == {0}
        assert list(await s3.objects(prefix)) == [name_of(person, document_id)]
        assert len(await removals(person)) == 1
        await relay.listen_again()
        await due(person)
        await swept(product.settings)
        # The product's own worker sweeps as well: whichever came first.
        assert (await s3.objects(prefix), await removals(person)) == ({}, [])
