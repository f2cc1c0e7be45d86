"""A response has so many bytes, or is one error."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from statements import counted

from core.errors import ResponseTooLargeError
from core.ids import new_id
from core.settings import Settings
from loaders.pages_of_documents import PagesOfDocuments
from owner import as_owner, uuid_of
from product import Person, Product, running_product

LIMIT = 50_000
PAGE = "query($ids: [ID!]!) { %s } fragment F on Document { page(number: 1) { text } }"
ONE = PAGE % "nodes(ids: $ids) { ...F }"
TWO = PAGE % "a: nodes(ids: $ids) { ...F } b: nodes(ids: $ids) { ...F }"


@pytest.fixture(scope="module")
def small_settings(settings_on: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Responses are small."""
    with settings_on(template, tmp_path_factory.mktemp("small")) as settings:
        yield settings.model_copy(update={"limit_response_bytes": LIMIT})


@pytest.fixture(scope="module")
async def small(small_settings: Settings) -> AsyncIterator[Product]:
    """A product with these settings."""
    async with running_product(small_settings, worker=False) as product:
        yield product


@pytest.fixture(scope="module")
async def person(small: Product) -> Person:
    """Somebody in it."""
    return await small.sign_up()


async def page_of(person: Person, text: str) -> str:
    """The id of a document that has this text on its one page."""
    id: str = (await person.upload(os.urandom(9).hex().encode() * 9))["document"]["id"]
    insert = "INSERT INTO document_pages (tenant_id, id, document_id, number, text) VALUES ($1, $2, $3, 1, $4)"
    await as_owner(person.product.settings, insert, person.tenant_id, new_id(), uuid_of(id), text)
    return id


@pytest.fixture(scope="module")
async def document(person: Person) -> str:
    """A document of 30,000 bytes on one page."""
    return await page_of(person, "x" * 30_000)


def refused(body: dict[str, Any]) -> None:
    """The response is the one error."""
    (error,) = body["errors"]
    assert body.get("data") is None
    assert error["message"] == f"The response has more than {LIMIT} bytes; the limit is {LIMIT} (response_bytes)."
    del error["extensions"]["requestId"]
    assert error["extensions"] == {
        "code": "LIMIT_EXCEEDED",
        "kind": "response_bytes",
        "limit": LIMIT,
        "actual": f"more than {LIMIT}",
    }


async def test_texts_that_are_too_large_together_are_refused_as_a_whole(person: Person, document: str) -> None:
    assert len((await person.query(ONE, ids=[document]))["nodes"][0]["page"]["text"]) == 30_000
    refused(await person.raw(ONE, ids=[document] * 2))
    refused(await person.raw(TWO, ids=[document]))
    refused(await person.raw(ONE, ids=[document] * 100))


async def test_the_new_media_type_says_so_in_its_status(small: Product, person: Person, document: str) -> None:
    headers = {"Authorization": f"Bearer {person.token}", "Accept": "application/graphql-response+json"}
    payload = {"query": TWO, "variables": {"ids": [document]}}
    async with small.http.post(f"{small.url}/graphql", json=payload, headers=headers) as response:
        body = json.loads(await response.read())
    assert response.status == 400
    assert "data" not in body
    refused(body)


async def test_a_socket_is_told_the_same(small: Product, person: Person, document: str) -> None:
    async with small.socket(person.token) as socket:
        payload = {"query": TWO, "variables": {"ids": [document]}}
        await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
        frame = await socket.receive_json()
        refused(frame["payload"])
        assert (await socket.receive_json())["type"] == "complete"


async def test_what_grows_as_json_is_counted_as_it_is_sent(person: Person) -> None:
    quotes = await page_of(person, '"' * 30_000)
    refused(await person.raw(ONE, ids=[quotes]))


async def test_a_text_beyond_ascii_counts_by_its_bytes(person: Person) -> None:
    cyrillic = await page_of(person, "ы" * 30_000)
    refused(await person.raw(ONE, ids=[cyrillic]))


async def test_pages_that_are_too_large_together_are_not_read(small: Product, person: Person, document: str) -> None:
    second = await page_of(person, "y" * 29_000)
    keys = [(uuid_of(document), 1), (uuid_of(second), 1)]
    async with small.services.postgres.read(person.tenant_id) as reads, counted(small) as statements:
        assert len(await PagesOfDocuments(reads, 60_000).load_many(keys)) == 2
        with pytest.raises(ResponseTooLargeError):
            await PagesOfDocuments(reads, LIMIT).load_many(keys)
        loader = PagesOfDocuments(reads, LIMIT)
        assert await loader.load(keys[0])
        with pytest.raises(ResponseTooLargeError):
            await loader.load(keys[1])
    assert all("octet_length" in statement for statement in statements)
    refused(await person.raw(ONE, ids=[document, second]))
