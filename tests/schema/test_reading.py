"""Reading: relations in a fixed number of statements, pages, and objects by id."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from statements import counted

from product import Person, Product
from resolvers.services import SEARCHES

TEXT = b"The lighthouse of Brenn was built in 1871. It is painted white and red.\n\nIts keeper is Ada Holm.\n"
LISTS: dict[str, tuple[str, int]] = {
    # query -> statements: one for the list, one for each relation; the person is remembered
    "assistants": ("{ viewer { assistants { edges { cursor node { id name } } pageInfo { hasNextPage } } } }", 1),
    "documents": ("{ viewer { documents { nodes { id name progress { chunksDone } uploadedBy { name } } } } }", 1),
    "document pages": ("{ viewer { documents { nodes { id page(number: 1) { text } } } } }", 2),
    "conversations": ("{ viewer { conversations { nodes { id title owner { name } assistant { name } } } } }", 2),
    "messages": (
        "{ viewer { conversations { nodes { messages(last: 5) { nodes { role text author { name } } } } } } }",
        2,
    ),
    "messages with answers": (
        """{ viewer { conversations(first: 5) { nodes { messages { nodes { role conversation { id }
          answer { id status usage { totalMs } message { text } question { text }
            citations { marker quote chunk { text document { name } } document { name } } }
          answers { id selected } } } } } } }""",
        # conversations, messages, conversation of a message, answer, answers, message of an answer,
        # question of an answer, citations, chunks, documents
        10,
    ),
    "passages": (
        '{ viewer { passages(query: "When was it built?") { distance chunk { text } document { name } } } }',
        4,
    ),
}


async def _fill(person: Person, times: int) -> None:
    await person.ready_document(TEXT + f"Edition {times}.".encode(), f"brenn-{times}.txt")
    for _ in range(times):
        conversation = await person.conversation()
        await person.ask("When was the lighthouse of Brenn built?", conversation)
        await person.ask("Who is its keeper?", conversation)


@pytest.mark.long
@pytest.mark.parametrize("name", LISTS)
async def test_a_list_costs_the_same_number_of_statements_whatever_its_length(product: Product, name: str) -> None:
    query, statements = LISTS[name]
    person = await product.sign_up()
    await _fill(person, 1)
    async with counted(product) as short:
        await person.query(query)
    await _fill(person, 2)
    async with counted(product) as long:
        await person.query(query)
    assert (len(short), len(long)) == (statements, statements), "\n\n".join(long)


async def test_nodes_of_many_kinds_cost_one_statement_a_kind(product: Product) -> None:
    person = await product.sign_up()
    await _fill(person, 2)
    query = """{ viewer { documents { nodes { id } } conversations { nodes { id messages { nodes { id } } } } } }"""
    viewer = (await person.query(query))["viewer"]
    ids = [node["id"] for node in viewer["documents"]["nodes"]]
    for conversation in viewer["conversations"]["nodes"]:
        ids += [conversation["id"], *(message["id"] for message in conversation["messages"]["nodes"])]
    async with counted(product) as statements:
        nodes = (await person.query("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids))["nodes"]
    assert [node["id"] for node in nodes] == ids
    assert len(statements) == 3


@pytest.mark.long
async def test_searches_take_turns_and_hold_up_no_answer(own_product: Product) -> None:
    person = await own_product.sign_up()
    await _fill(person, 1)
    searches = own_product.services.searches
    for _ in range(SEARCHES):
        await searches.acquire()
    searching = asyncio.create_task(person.query('{ viewer { passages(query: "Who is the keeper?") { distance } } }'))
    assert (await person.ask("Who is the keeper?"))[-1]["__typename"] == "AnswerCompleted"
    assert not searching.done()
    searches.release()
    assert (await searching)["viewer"]["passages"]


async def test_pages_forward_and_backward_show_every_message_once(product: Product) -> None:
    person = await product.sign_up()
    conversation = await person.conversation()
    for number in range(4):
        await person.ask(f"Question {number}?", conversation)
    query = """query($id: ID!, $first: Int, $after: String, $last: Int, $before: String) { node(id: $id) {
      ... on Conversation { messages(first: $first, after: $after, last: $last, before: $before) {
        nodes { text } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } } }"""

    async def page(**arguments: Any) -> dict[str, Any]:
        return (await person.query(query, id=conversation, **arguments))["node"]["messages"]  # type: ignore[no-any-return]

    everything = [node["text"] for node in (await page(first=100))["nodes"]]
    assert len(everything) == 8
    forward: list[str] = []
    cursor: str | None = None
    while True:
        part = await page(first=3, after=cursor)
        forward += [node["text"] for node in part["nodes"]]
        cursor = part["pageInfo"]["endCursor"]
        if not part["pageInfo"]["hasNextPage"]:
            break
    backward: list[str] = []
    cursor = None
    while True:
        part = await page(last=3, before=cursor)
        backward = [node["text"] for node in part["nodes"]] + backward
        cursor = part["pageInfo"]["startCursor"]
        if not part["pageInfo"]["hasPreviousPage"]:
            break
    assert forward == backward == everything


async def test_conversations_are_found_by_a_part_of_their_title(product: Product) -> None:
    person = await product.sign_up()
    start = """mutation($title: String) { startConversation(input: {title: $title}) {
      ... on StartConversationPayload { conversation { id } } } }"""
    for title in ("Budget 100%", "Holidays", "budget_plan"):
        await person.query(start, title=title)
    query = "query($t: String) { viewer { conversations(title: $t) { nodes { title } } } }"

    async def found(part: str) -> set[str]:
        nodes = (await person.query(query, t=part))["viewer"]["conversations"]["nodes"]
        return {node["title"] for node in nodes}

    assert await found("BUDGET") == {"Budget 100%", "budget_plan"}
    assert await found("%") == {"Budget 100%"}
    assert await found("_") == {"budget_plan"}


async def test_documents_are_filtered_by_status(product: Product) -> None:
    person = await product.sign_up()
    await person.ready_document(TEXT)
    query = "query($s: [DocumentStatus!]) { viewer { documents(status: $s) { nodes { status } } } }"
    assert len((await person.query(query, s=["READY"]))["viewer"]["documents"]["nodes"]) == 1
    assert (await person.query(query, s=["FAILED"]))["viewer"]["documents"]["nodes"] == []
    assert (await person.query(query, s=[]))["viewer"]["documents"]["nodes"] == []


async def test_passages_are_the_nearest_first_and_quote_their_page(product: Product) -> None:
    person = await product.sign_up()
    await person.ready_document(TEXT)
    query = """query($q: String!) { viewer { passages(query: $q) { page distance score document { name }
      chunk { text start end page document { page(number: 1) { text } } } } } }"""
    passages = (await person.query(query, q="When was the lighthouse built?"))["viewer"]["passages"]
    assert passages
    chunk = passages[0]["chunk"]
    assert chunk["document"]["page"]["text"][chunk["start"] : chunk["end"]] == chunk["text"]
    assert "1871" in chunk["text"]
    assert [p["score"] for p in passages] == sorted((p["score"] for p in passages), reverse=True)
    assert (await person.query(query, q="How do volcanoes erupt?"))["viewer"]["passages"] == []


async def test_the_viewer_is_null_for_nobody(product: Product) -> None:
    assert await product.post("{ viewer { user { id } } }") == {"data": {"viewer": None}}
