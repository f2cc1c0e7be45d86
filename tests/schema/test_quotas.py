"""How much an organisation may keep: never more, however many uploads come at once, and given back with a deletion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.ids import NodeKind, new_id, to_global
from core.settings import Settings
from datastores.quotas import Quota, Standing
from lifecycle import DELETE, change, removals
from owner import as_owner, counts, kept_files
from product import Person, Product, running_product
from resolvers.quotas import quota_of, set_quota
from resolvers.results import InvalidInput, NotFound

UPLOAD = """mutation($input: UploadDocumentInput!) { uploadDocument(input: $input) { __typename
  ... on UploadDocumentPayload { document { id } } ... on DuplicateDocument { document { id } }
  ... on QuotaExceeded { code reason: message quota limit actual } } }"""
SIZE = 1_000


@pytest.fixture
async def tight(settings: Settings) -> AsyncIterator[Product]:
    """A product whose organisations may keep five documents and four and a half thousand bytes."""
    limits = {"quota_documents": 5, "quota_bytes": 4_500}
    async with running_product(settings.model_copy(update=limits), worker=False) as product:
        yield product


def text(number: int, size: int = SIZE) -> bytes:
    """Bytes that no other number has."""
    return f"This is text number {number}.".ljust(size, ".").encode()


async def upload(person: Person, number: int, size: int = SIZE) -> dict[str, Any]:
    """The result of `uploadDocument`."""
    body = await person.product.upload_raw(person.token, text(number, size), f"{number}.txt", query=UPLOAD)
    assert "errors" not in body, body
    return body["data"]["uploadDocument"]  # type: ignore[no-any-return]


async def kept_bytes(person: Person) -> int:
    """Of the person's organisation, by the rows; and that storage has as many."""
    statement = "SELECT coalesce(sum(byte_size), 0) FROM documents WHERE tenant_id = $1"
    ((size,),) = await as_owner(person.product.settings, statement, person.tenant_id)
    assert sum(file.stat().st_size for file in kept_files(person)) == size
    return int(size)


async def test_the_bytes_of_twenty_uploads_at_once_are_never_more_than_allowed(tight: Product) -> None:
    person = await tight.sign_up()
    results = await asyncio.gather(*(upload(person, number) for number in range(20)))
    assert sorted(result["__typename"] for result in results) == ["QuotaExceeded"] * 16 + ["UploadDocumentPayload"] * 4
    assert await kept_bytes(person) == 4 * SIZE
    assert await removals(person) == []
    refused = [result for result in results if result["__typename"] == "QuotaExceeded"]
    assert {(one["code"], one["quota"], one["limit"], one["actual"]) for one in refused} == {
        ("QUOTA_EXCEEDED", "BYTES", 4_500, 5_000)
    }
    assert refused[0]["reason"] == (
        "Your organisation may keep 4,500 bytes; with this file it would be 5,000. Delete some first."
    )


async def test_the_number_of_twenty_uploads_at_once_is_never_more_than_allowed(tight: Product) -> None:
    person = await tight.sign_up()
    results = await asyncio.gather(*(upload(person, number, 100) for number in range(20)))
    assert sorted(result["__typename"] for result in results) == ["QuotaExceeded"] * 15 + ["UploadDocumentPayload"] * 5
    assert (await counts(person))["documents"] == len(kept_files(person)) == 5
    told = {(one["quota"], one["limit"], one["actual"]) for one in results if one["__typename"] == "QuotaExceeded"}
    assert told == {("DOCUMENTS", 5, 6)}


async def test_what_is_deleted_is_given_back_and_what_failed_is_not(tight: Product) -> None:
    person = await tight.sign_up()
    first, *_ = [(await upload(person, number))["document"]["id"] for number in range(4)]
    await as_owner(tight.settings, "UPDATE documents SET status = 'FAILED'")
    assert (await upload(person, 5))["__typename"] == "QuotaExceeded"
    # What fits goes in.
    assert (await upload(person, 6, 500))["__typename"] == "UploadDocumentPayload"
    await change(person, DELETE, first)
    assert (await upload(person, 5))["__typename"] == "UploadDocumentPayload"
    assert await kept_bytes(person) == 4_500


async def test_bytes_that_are_there_already_are_no_more(tight: Product) -> None:
    person = await tight.sign_up()
    for number in range(4):
        await upload(person, number)
    assert (await upload(person, 2))["__typename"] == "DuplicateDocument"


async def test_one_organisation_s_documents_are_not_another_s(tight: Product) -> None:
    person, other = await tight.sign_up(), await tight.sign_up()
    for number in range(4):
        await upload(person, number)
    assert (await upload(other, 9))["__typename"] == "UploadDocumentPayload"


async def test_an_organisation_may_have_a_quota_of_its_own(tight: Product) -> None:
    person, other = await tight.sign_up(), await tight.sign_up()
    tenant = to_global(NodeKind.TENANT, person.tenant_id)
    for number in range(2):
        await upload(person, number)
    used = Quota(2, 2 * SIZE)
    assert await quota_of(tight.services, tenant) == Standing(Quota(5, 4_500), used)
    assert await set_quota(tight.services, tenant, documents=2, bytes=10**12) == Standing(Quota(2, 10**12), used)
    refused = await upload(person, 7)
    assert (refused["quota"], refused["limit"], refused["actual"]) == ("DOCUMENTS", 2, 3)
    # Less than is there takes nothing away.
    assert await set_quota(tight.services, tenant, documents=None, bytes=0) == Standing(Quota(5, 0), used)
    assert (await upload(person, 7))["quota"] == "BYTES"
    assert (await counts(person))["documents"] == 2
    assert (await upload(other, 7))["__typename"] == "UploadDocumentPayload"
    assert await set_quota(tight.services, tenant, documents=None, bytes=None) == Standing(Quota(5, 4_500), used)
    assert (await upload(person, 7))["__typename"] == "UploadDocumentPayload"
    written = (
        "SELECT targets, details, actor_id FROM audit_log WHERE tenant_id = $1 AND action = 'setQuota' ORDER BY id"
    )
    rows = await as_owner(tight.settings, written, person.tenant_id)
    assert [(targets, actor) for targets, _, actor in rows] == [([tenant], None)] * 3
    assert rows[0][1] == '{"bytes": 1000000000000, "documents": 2}'


async def test_an_organisation_that_is_none_has_no_quota(tight: Product) -> None:
    for tenant, result in (("nonsense", InvalidInput), (to_global(NodeKind.TENANT, new_id()), NotFound)):
        assert isinstance(await quota_of(tight.services, tenant), result)
        assert isinstance(await set_quota(tight.services, tenant, documents=1, bytes=1), result)
    assert await as_owner(tight.settings, "SELECT 1 FROM audit_log WHERE action = 'setQuota'") == []
