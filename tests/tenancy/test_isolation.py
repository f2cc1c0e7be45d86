"""Two tenants see nothing of each other's, with the queries as written and with their tenant filter removed.

That no field, list or subscription gives anything away, `test_walk.py` shows; here is what no schema tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from as_owner import contents, owner
from two_tenants import Tenant, World, missing, present
from without_filter import tenant_filter_removed

from core.ids import NodeKind, new_id, to_global
from product import Product

NODE = """query($id: ID!) { node(id: $id) { __typename id
  ... on Tenant { name } ... on User { name email } ... on Assistant { name instructions }
  ... on Document { name contentUrl page(number: 1) { text } uploadedBy { email } }
  ... on Chunk { text document { name } }
  ... on Conversation { title owner { name } assistant { name } messages { nodes { text } } }
  ... on Message { text author { name } answers { id } conversation { title } }
  ... on Answer { status message { text } question { text } citations { quote } } } }"""
PASSAGES = """query($id: ID) { viewer { passages(query: "When was the town founded?", first: 50, assistantId: $id) {
  chunk { id text } document { id name } } } }"""


@dataclass(frozen=True)
class Both:
    """The two tenants on a running product: `theirs` has what `mine` must not see."""

    product: Product
    theirs: Tenant
    mine: Tenant


@pytest.fixture(params=["as written", "query filter removed"])
def both(request: pytest.FixtureRequest, world: World, own_product: Product) -> Iterator[Both]:
    """Each test runs twice; with the filter removed row-level security alone must hold."""
    tenants = Both(own_product, theirs=present(world.first, own_product), mine=present(world.second, own_product))
    if request.param == "as written":
        yield tenants
        return
    with tenant_filter_removed(own_product.services.postgres) as rewritten:
        yield tenants
    assert rewritten, "the test ran no statement with a tenant filter"


def public(body: dict[str, Any]) -> dict[str, Any]:
    """A response without what differs from request to request."""
    for error in body.get("errors", ()):
        del error["extensions"]["requestId"]
    return body


async def test_the_owner_of_each_kind_of_object_reads_it_by_its_id(both: Both) -> None:
    for kind, own in both.theirs.ids.items():
        node = (await both.theirs.business.query(NODE, id=own))["node"]
        assert (node["__typename"], node["id"]) == (kind, own)


async def test_among_many_ids_the_foreign_ones_are_null(both: Both) -> None:
    pairs = zip(both.theirs.ids.values(), both.mine.ids.values(), strict=True)
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    nodes = (await both.mine.business.query(query, ids=[one for pair in pairs for one in pair]))["nodes"]
    assert nodes[0::2] == [None] * len(both.mine.ids)
    assert [node["id"] for node in nodes[1::2]] == list(both.mine.ids.values())


async def test_passages_within_a_foreign_assistant_s_scope_are_refused_like_a_missing_one_s(both: Both) -> None:
    for foreign in (both.theirs.ids["Assistant"], both.theirs.assigned_assistant):
        answer = public(await both.mine.business.raw(PASSAGES, id=foreign))
        assert answer == public(await both.mine.business.raw(PASSAGES, id=missing(foreign)))
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    own = (await both.mine.business.query(PASSAGES, id=both.mine.assigned_assistant))["viewer"]["passages"]
    assert {passage["document"]["name"] for passage in own} <= {f"{both.mine.subject} 2.txt"}


async def test_the_same_bytes_in_another_tenant_are_no_duplicate(both: Both) -> None:
    before = await contents(both.product.settings, both.theirs.id)
    result = await both.mine.business.upload(both.theirs.document_text, "mine.txt")
    assert result["__typename"] == "UploadDocumentPayload"
    assert (await both.theirs.business.upload(both.theirs.document_text))["__typename"] == "DuplicateDocument"
    assert await contents(both.product.settings, both.theirs.id) == before


async def test_the_same_idempotency_key_in_another_tenant_is_a_new_message(both: Both) -> None:
    first = await both.theirs.business.send(both.theirs.ids["Conversation"], "Why?", idempotencyKey="shared")
    second = await both.mine.business.send(both.mine.ids["Conversation"], "What?", idempotencyKey="shared")
    assert second["__typename"] == "SendMessagePayload"
    assert second["message"]["id"] != first["message"]["id"]
    for person, sent in ((both.theirs.business, first), (both.mine.business, second)):
        assert [event async for event in person.follow(sent["answer"]["id"])]


async def test_a_link_opens_its_own_document_and_no_other(both: Both) -> None:
    signer, http = both.product.services.signer, both.product.http

    async def get(signed: str) -> tuple[int, bytes]:
        async with http.get(f"{both.product.url}/files/{signed}") as response:
            return response.status, await response.read()

    genuine, own = (tenant.content_url.rpartition("/")[2] for tenant in (both.theirs, both.mine))
    assert await get(genuine) == (200, both.theirs.document_text)
    tenant, document, expires, signature = own.split(".")
    foreign = both.theirs.uuid(NodeKind.DOCUMENT, "Document")
    for forged in (
        f"{tenant}.{foreign.hex}.{expires}.{signature}",
        f"{both.theirs.id.hex}.{foreign.hex}.{expires}.{signature}",
        f"{both.theirs.id.hex}.{document}.{expires}.{signature}",
        f"{tenant}.{document}.{int(expires) + 1}.{signature}",
    ):
        assert await get(forged) == await get("nonsense")
        assert (await get(forged))[0] == 404
    # Not even our own signature brings a document and another tenant together.
    crossed = await get(signer.sign_file(both.mine.id, foreign, int(expires)))
    assert crossed == await get(signer.sign_file(both.mine.id, new_id(), int(expires)))
    assert crossed[0] == 404


async def test_a_token_that_joins_a_person_to_a_foreign_tenant_is_nobody_s(both: Both) -> None:
    token, _ = both.product.services.signer.issue_access(
        both.theirs.uuid(NodeKind.USER, "User"), both.mine.id, both.theirs.business.session_id
    )
    body = await both.product.post("{ viewer { user { email } } }", token=token)
    assert body["data"] == {"viewer": None}
    assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_with_neither_filter_nor_row_level_security_a_foreign_row_would_show(
    world: World, own_product: Product
) -> None:
    """The proof that these tests can fail."""
    person, foreign = present(world.second, own_product).business, world.first.ids["Assistant"]
    with tenant_filter_removed(own_product.services.postgres):
        assert (await person.query(NODE, id=foreign))["node"] is None
        async with owner(own_product.settings) as connection:
            await connection.execute("ALTER TABLE assistants DISABLE ROW LEVEL SECURITY")
        assert (await person.query(NODE, id=foreign))["node"]["id"] == foreign
    assert (await person.query(NODE, id=foreign))["node"] is None
    assert to_global(NodeKind.ASSISTANT, world.first.uuid(NodeKind.ASSISTANT, "Assistant")) == foreign
