"""The same bytes are kept once in an organisation, however many bring them at once, and as long as they are good."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.ids import NodeKind, new_id, to_global
from datastores.models import Assistant, DocumentScope
from lifecycle import CANCEL, DELETE, change, removals
from multipart import upload
from owner import as_owner, counts, kept_files, uuid_of
from product import Person, Product

TEXT = b"The ferry to Vexholm leaves at half past seven. It leaves from pier nine.\n"
SCOPE = "SELECT assistant_id, document_id FROM assistant_documents WHERE tenant_id = $1"


async def narrow_assistant(person: Person) -> str:
    """The id of an assistant that draws on the documents assigned to it."""
    async with person.product.services.postgres.write(person.tenant_id) as tx:
        assistant = Assistant(tenant_id=person.tenant_id, name="Narrow", document_scope=DocumentScope.ASSIGNED)
        tx.session.add(assistant)
    return to_global(NodeKind.ASSISTANT, assistant.id)


async def scope(person: Person) -> list[tuple[Any, ...]]:
    """What has been assigned to whom."""
    return await as_owner(person.product.settings, SCOPE, person.tenant_id)


@pytest.mark.parametrize("assigned", [False, True], ids=["to nobody", "to an assistant"])
async def test_the_same_bytes_uploaded_fifty_times_at_once_are_one_document(product: Product, assigned: bool) -> None:
    person = await product.sign_up()
    fields = {"assistantId": await narrow_assistant(person)} if assigned else {}
    results = await asyncio.gather(*(upload(person, TEXT, f"{number}.txt", **fields) for number in range(50)))
    kinds = sorted(result["__typename"] for result in results)
    assert kinds == ["DuplicateDocument"] * 49 + ["UploadDocumentPayload"]
    assert len({result["document"]["id"] for result in results}) == 1
    assert (await counts(person))["documents"] == len(kept_files(person)) == 1
    assert len(await scope(person)) == (1 if assigned else 0)
    assert await removals(person) == []


async def test_bytes_that_are_there_already_are_added_to_the_assistant_s_scope(product: Product) -> None:
    person = await product.sign_up()
    document_id = (await upload(person, TEXT, "one.txt"))["document"]["id"]
    assert await scope(person) == []
    assistant = await narrow_assistant(person)
    for _ in range(2):
        result = await upload(person, TEXT, "two.txt", assistantId=assistant)
        assert (result["__typename"], result["document"]["id"]) == ("DuplicateDocument", document_id)
        assert await scope(person) == [(uuid_of(assistant), uuid_of(document_id))]


async def test_a_duplicate_for_an_assistant_that_is_not_there_changes_nothing(product: Product) -> None:
    person = await product.sign_up()
    await upload(person, TEXT, "one.txt")
    result = await upload(person, TEXT, "two.txt", assistantId=to_global(NodeKind.ASSISTANT, new_id()))
    assert result["__typename"] == "NotFound"
    assert await scope(person) == []


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
async def test_a_document_that_has_ended_does_not_keep_its_bytes_from_coming_again(
    product: Product, status: str
) -> None:
    person = await product.sign_up()
    document_id = await person.ready_document(TEXT)
    await as_owner(product.settings, "UPDATE documents SET status = $2 WHERE id = $1", uuid_of(document_id), status)
    again = await upload(person, TEXT, "again.txt")
    assert again["__typename"] == "UploadDocumentPayload"
    assert again["document"]["id"] != document_id
    assert (await upload(person, TEXT, "and again.txt"))["document"]["id"] == again["document"]["id"]
    assert (await counts(person))["documents"] == len(kept_files(person)) == 2


async def test_a_cancelled_and_a_deleted_document_are_no_copies(product: Product) -> None:
    person = await product.sign_up()
    first = (await upload(person, TEXT, "one.txt"))["document"]["id"]
    await change(person, CANCEL, first)  # or it is READY by now: what follows holds for both
    await change(person, DELETE, first)
    assert (await upload(person, TEXT, "one.txt"))["__typename"] == "UploadDocumentPayload"
