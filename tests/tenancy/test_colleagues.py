"""Two people of one tenant: their own conversations only, and what a USER may not do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from as_owner import contents, owner
from two_tenants import Tenant, World, missing, present

from owner import as_owner, set_role, uuid_of
from product import PROGRESS, UPLOAD, OperationFailed, Person, Product

NODE = "query($id: ID!) { node(id: $id) { __typename id } }"
IDS = "{ viewer { conversations { nodes { id messages { nodes { id answers { id } } } } } } }"


@pytest.fixture
def tenant(world: World, own_product: Product) -> Tenant:
    """The first tenant on the running product."""
    return present(world.first, own_product)


async def _ids(person: Person) -> dict[str, str]:
    (conversation,) = (await person.query(IDS))["viewer"]["conversations"]["nodes"]
    message = conversation["messages"]["nodes"][0]
    return {"Conversation": conversation["id"], "Message": message["id"], "Answer": message["answers"][0]["id"]}


async def test_a_colleague_s_conversation_message_and_answer_read_like_missing_ones(tenant: Tenant) -> None:
    for reader, writer in ((tenant.user, tenant.business), (tenant.business, tenant.user)):
        for kind, identifier in (await _ids(writer)).items():
            assert (await writer.query(NODE, id=identifier))["node"]["__typename"] == kind
            assert await reader.query(NODE, id=identifier) == await reader.query(NODE, id=missing(identifier)), kind


async def test_nobody_writes_into_a_colleague_s_conversation(tenant: Tenant) -> None:
    before = await contents(tenant.business.product.settings)
    for writer, conversation in (
        (tenant.user, tenant.ids["Conversation"]),
        (tenant.business, tenant.user_conversation),
    ):
        refused = [await writer.send(one, "What is this?") for one in (conversation, missing(conversation))]
        assert refused[0] == refused[1]
        assert refused[0]["code"] == "NOT_FOUND"
    assert await contents(tenant.business.product.settings) == before


async def test_nobody_follows_a_colleague_s_answer(tenant: Tenant) -> None:
    for reader, writer in ((tenant.user, tenant.business), (tenant.business, tenant.user)):
        answer = (await _ids(writer))["Answer"]
        messages = []
        for identifier in (answer, missing(answer)):
            with pytest.raises(OperationFailed) as caught:
                [event async for event in reader.follow(identifier)]
            messages.append([(e["message"], e["extensions"]["code"]) for e in caught.value.args[0]])
        assert messages[0] == messages[1]


async def test_a_user_sees_no_other_people(tenant: Tenant) -> None:
    assert (await tenant.user.query(NODE, id=tenant.ids["User"]))["node"] is None
    assert (await tenant.user.query(NODE, id=tenant.user.user_id))["node"]["id"] == tenant.user.user_id
    assert (await tenant.business.query(NODE, id=tenant.user.user_id))["node"]["id"] == tenant.user.user_id
    query = "{ viewer { documents { nodes { uploadedBy { email } } } } }"
    nodes = (await tenant.user.query(query))["viewer"]["documents"]["nodes"]
    assert nodes == [{"uploadedBy": None}] * 2


async def test_a_user_may_not_upload_and_nothing_is_kept(tenant: Tenant) -> None:
    product = tenant.user.product
    before = await contents(product.settings)
    files = sorted((product.settings.data_dir / "files").rglob("*"))
    body = await product.upload_raw(tenant.user.token, b"A user's text.", "user.txt")
    assert "data" not in body
    assert [e["extensions"]["code"] for e in body["errors"]] == ["FORBIDDEN"]
    assert await contents(product.settings) == before
    assert sorted((product.settings.data_dir / "files").rglob("*")) == files


async def test_nobody_uploads_without_signing_in(tenant: Tenant) -> None:
    product = tenant.user.product
    before = await contents(product.settings)
    body = await product.upload_raw(None, b"Nobody's text.", "nobody.txt")
    assert [e["extensions"]["code"] for e in body["errors"]] == ["UNAUTHENTICATED"]
    assert await contents(product.settings) == before
    assert "uploadDocument" in UPLOAD


@pytest.mark.parametrize("role", ["USER", "OPERATOR"])
async def test_below_business_documents_are_read_only_within_the_scope_of_an_assistant(
    tenant: Tenant, role: str
) -> None:
    """Every path to a document or a chunk: the list, an id, ids, citations, a followed answer, progress."""
    await set_role(tenant.user, role)
    document, chunk = tenant.ids["Document"], tenant.ids["Chunk"]
    inside = f"{tenant.subject} 2.txt"
    lists = "{ viewer { documents { nodes { name } } } }"
    parts = "... on Document { page(number: 1) { text } contentUrl } ... on Chunk { text document { name } }"
    nodes = f"query($ids: [ID!]!) {{ nodes(ids: $ids) {{ id {parts} }} }}"
    cited = """query($id: ID!) { node(id: $id) { ... on Conversation { messages { nodes {
      answer { id citations { quote chunk { id } document { id contentUrl } } } } } } } }"""

    conversation = await tenant.user.conversation()
    await tenant.user.ask(f"When was {tenant.subject} founded?", conversation)

    async def citations() -> tuple[str, list[dict[str, Any]]]:
        found = (await tenant.user.query(cited, id=conversation))["node"]["messages"]["nodes"]
        return found[0]["answer"]["id"], found[0]["answer"]["citations"]

    # All of it is seen while an assistant's scope is everything ...
    answer, seen = await citations()
    assert [one["document"]["id"] for one in seen] == [document]
    assert all(one["chunk"] and one["document"]["contentUrl"] for one in seen)
    read = json.dumps(await tenant.user.query(nodes, ids=[document, chunk]))
    assert tenant.document_text.decode() in read
    assert "/files/" in read
    async with owner(tenant.user.product.settings) as connection:
        await connection.execute("UPDATE assistants SET document_scope = 'ASSIGNED'")
    # ... and nothing of it when none's is any more, but the quotation that the answer keeps.
    assert (await tenant.user.query(lists))["viewer"]["documents"]["nodes"] == [{"name": inside}]
    assert await tenant.user.query(nodes, ids=[document, chunk]) == {"nodes": [None, None]}
    for outside in (document, chunk):
        assert (await tenant.user.query(NODE, id=outside))["node"] is None
    assert (await citations())[1] == [{**one, "chunk": None, "document": None} for one in seen]
    events = [event async for event in tenant.user.follow(answer)]
    assert [event["citation"]["chunk"] for event in events if "citation" in event] == [None]
    with pytest.raises(OperationFailed, match="no such document"):
        [event async for event in tenant.user.subscribe(PROGRESS, "documentProgress", id=document)]
    # BUSINESS goes on reading all of it.
    assert len((await tenant.business.query(lists))["viewer"]["documents"]["nodes"]) == 2
    assert None not in (await tenant.business.query(nodes, ids=[document, chunk]))["nodes"]


async def test_progress_ends_for_a_user_when_the_document_leaves_that_scope(tenant: Tenant) -> None:
    document, settings = tenant.ids["Document"], tenant.user.product.settings
    unfinished = "UPDATE documents SET status = 'EMBEDDING', heartbeat_at = now() + interval '1 hour' WHERE id = $1"
    await as_owner(settings, unfinished, uuid_of(document))
    following = tenant.user.subscribe(PROGRESS, "documentProgress", id=document)
    assert (await anext(following))["status"] == "EMBEDDING"
    await as_owner(settings, "UPDATE assistants SET document_scope = 'ASSIGNED'")
    await as_owner(settings, "UPDATE documents SET name = 'Renamed', pages_done = 7 WHERE id = $1", uuid_of(document))
    await tenant.user.product.services.document_news.tell(tenant.user.tenant_id, uuid_of(document))
    assert [event async for event in following] == []


@pytest.mark.parametrize("question", ["When was the town founded?", "Where does it rain?"])
async def test_a_user_is_shown_no_passage_from_outside_of_that_scope(tenant: Tenant, question: str) -> None:
    async with owner(tenant.user.product.settings) as connection:
        await connection.execute("UPDATE assistants SET document_scope = 'ASSIGNED'")
    query = """query($question: String!, $assistant: ID) { viewer { passages(query: $question, first: 50,
      assistantId: $assistant) { score chunk { text } document { name } } } }"""
    assert tenant.subject in json.dumps(await tenant.business.query(query, question=question))
    for assistant in (None, tenant.assigned_assistant, tenant.ids["Assistant"]):
        viewer = (await tenant.user.query(query, question=question, assistant=assistant))["viewer"]
        assert {passage["document"]["name"] for passage in viewer["passages"]} <= {f"{tenant.subject} 2.txt"}
