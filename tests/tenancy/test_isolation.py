"""Two tenants see nothing of each other's, with the queries as written and with their tenant filter removed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from as_owner import contents, owner
from two_tenants import Tenant, World, missing, present
from without_filter import tenant_filter_removed

from core.ids import NodeKind, new_id, to_global
from datastores.answer_events import encode_cursor
from product import PROGRESS, SEND, START, OperationFailed, Person, Product

NODE = """query($id: ID!) { node(id: $id) { __typename id
  ... on Tenant { name } ... on User { name email } ... on Assistant { name instructions }
  ... on Document { name contentUrl page(number: 1) { text } uploadedBy { email } }
  ... on Chunk { text document { name } }
  ... on Conversation { title owner { name } assistant { name } messages { nodes { text } } }
  ... on Message { text author { name } answers { id } conversation { title } }
  ... on Answer { status message { text } question { text } citations { quote } } } }"""
VIEWER = """query($question: String!) { viewer { tenant { id name } user { id email }
  assistants { nodes { id name } } documents { nodes { id name page(number: 1) { text } uploadedBy { id email } } }
  passages(query: $question, first: 50) { chunk { id text } document { id name } }
  conversations { nodes { id title owner { id } messages { nodes { id text author { id }
    answers { id citations { quote chunk { id text } document { id } } } } } } } } }"""
PASSAGES = """query($id: ID) { viewer { passages(query: "When was the town founded?", first: 50, assistantId: $id) {
  chunk { id text } document { id name } } } }"""
PAGE = "query($after: String) { viewer { page: %s(after: $after) { nodes { id } } } }"
CURSORS = """{ viewer { documents(first: 1) { edges { cursor } } conversations(first: 1) { edges { cursor } }
  assistants(first: 1) { edges { cursor } } } }"""


@dataclass(frozen=True)
class Both:
    """The two tenants on a running product: `theirs` has what `mine` must not see."""

    product: Product
    theirs: Tenant
    mine: Tenant

    async def files(self) -> list[str]:
        """What is in storage."""
        root = self.product.settings.data_dir / "files"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


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


async def refusal(person: Person, query: str, field: str, **variables: Any) -> list[dict[str, Any]]:
    """The errors with which a subscription is refused."""
    with pytest.raises(OperationFailed) as caught:
        [event async for event in person.subscribe(query, field, **variables)]
    errors: list[dict[str, Any]] = public({"errors": caught.value.args[0]})["errors"]
    return errors


async def test_the_owner_of_each_kind_of_object_reads_it_by_its_id(both: Both) -> None:
    for kind, own in both.theirs.ids.items():
        node = (await both.theirs.business.query(NODE, id=own))["node"]
        assert (node["__typename"], node["id"]) == (kind, own)


async def test_a_foreign_id_of_any_kind_reads_like_a_missing_one(both: Both) -> None:
    for person in (both.mine.business, both.mine.user):
        for kind, foreign in both.theirs.ids.items():
            answer = public(await person.raw(NODE, id=foreign))
            assert answer == public(await person.raw(NODE, id=missing(foreign))), kind
            assert answer == {"data": {"node": None}}, kind


async def test_among_many_ids_the_foreign_ones_are_null(both: Both) -> None:
    pairs = zip(both.theirs.ids.values(), both.mine.ids.values(), strict=True)
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    nodes = (await both.mine.business.query(query, ids=[one for pair in pairs for one in pair]))["nodes"]
    assert nodes[0::2] == [None] * len(both.mine.ids)
    assert [node["id"] for node in nodes[1::2]] == list(both.mine.ids.values())


async def test_the_viewer_s_lists_hold_nothing_foreign(both: Both) -> None:
    foreign = {both.theirs.subject, *both.theirs.ids.values(), both.theirs.user.user_id, both.theirs.assigned_assistant}
    for person in (both.mine.business, both.mine.user):
        question = f"When was {both.theirs.subject} founded, and where do its ferries leave from?"
        shown = json.dumps(await person.query(VIEWER, question=question))
        assert both.mine.subject in shown
        # The question itself is not part of the answer.
        assert not [text for text in foreign if text in shown]


async def test_passages_within_a_foreign_assistant_s_scope_are_refused_like_a_missing_one_s(both: Both) -> None:
    for foreign in (both.theirs.ids["Assistant"], both.theirs.assigned_assistant):
        answer = public(await both.mine.business.raw(PASSAGES, id=foreign))
        assert answer == public(await both.mine.business.raw(PASSAGES, id=missing(foreign)))
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    own = (await both.mine.business.query(PASSAGES, id=both.mine.assigned_assistant))["viewer"]["passages"]
    assert {passage["document"]["name"] for passage in own} <= {f"{both.mine.subject} 2.txt"}


async def test_writes_to_a_foreign_object_are_answered_like_a_missing_one_and_change_nothing(both: Both) -> None:
    before, files = await contents(both.product.settings), await both.files()
    for person in (both.mine.business, both.mine.user):
        for foreign in (both.theirs.ids["Conversation"], both.theirs.user_conversation):
            sent = [await person.send(one, "What is said here?") for one in (foreign, missing(foreign))]
            assert sent[0] == sent[1]
            assert sent[0]["code"] == "NOT_FOUND"
            keyed = await person.query(SEND, input={"conversationId": foreign, "text": "?", "idempotencyKey": "k"})
            assert keyed["sendMessage"]["code"] == "NOT_FOUND"
        for foreign in (both.theirs.ids["Assistant"], both.theirs.assigned_assistant):
            started = [await person.query(START, input={"assistantId": one}) for one in (foreign, missing(foreign))]
            assert started[0] == started[1]
            assert started[0]["startConversation"]["code"] == "NOT_FOUND"
    for foreign in (both.theirs.ids["Assistant"], both.theirs.assigned_assistant):
        uploads = [
            await both.mine.business.upload(b"Some text.", "new.txt", assistantId=one)
            for one in (foreign, missing(foreign))
        ]
        assert uploads[0] == uploads[1]
        assert uploads[0]["code"] == "NOT_FOUND"
    assert await contents(both.product.settings) == before
    assert await both.files() == files


async def test_subscriptions_to_a_foreign_object_are_refused_like_a_missing_one(both: Both) -> None:
    answer_query = "subscription($id: ID!, $after: String) { answer(id: $id, after: $after) { __typename } }"
    before = await contents(both.product.settings)
    for person in (both.mine.business, both.mine.user):
        for query, field, kind in ((answer_query, "answer", "Answer"), (PROGRESS, "documentProgress", "Document")):
            foreign = both.theirs.ids[kind]
            refused = await refusal(person, query, field, id=foreign)
            assert refused == await refusal(person, query, field, id=missing(foreign))
            assert refused[0]["extensions"]["code"] == "BAD_USER_INPUT"
        with_cursor = {"id": both.theirs.ids["Answer"], "after": both.theirs.answer_cursor}
        no_such = {"id": missing(with_cursor["id"]), "after": both.theirs.answer_cursor}
        assert await refusal(person, answer_query, "answer", **with_cursor) == await refusal(
            person, answer_query, "answer", **no_such
        )
    own, unknown = both.mine.ids["Answer"], encode_cursor(new_id(), "abc", 1)
    assert await refusal(
        both.mine.business, answer_query, "answer", id=own, after=both.theirs.answer_cursor
    ) == await refusal(both.mine.business, answer_query, "answer", id=own, after=unknown)
    assert await contents(both.product.settings) == before


async def test_a_foreign_cursor_only_tells_where_to_begin_in_one_s_own_list(both: Both) -> None:
    lists = (await both.theirs.business.query(CURSORS))["viewer"]
    own = json.dumps(await both.mine.business.query(VIEWER, question="x"))
    for name in lists:
        after = lists[name]["edges"][0]["cursor"]
        page = (await both.mine.business.query(PAGE % name, after=after))["viewer"]["page"]
        assert all(node["id"] in own for node in page["nodes"])


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
        assert (await get(forged))[0] == 403
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
