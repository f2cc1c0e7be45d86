"""Limits as a client meets them: alike over POST, GET and WebSocket, for queries, mutations and subscriptions."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from graphql import get_introspection_query
from statements import counted

from hostile_documents import ATTACKS, HOSTILE_VARIABLES
from product import ANSWER, SEND, Person, Product

ROOT = Path(__file__).resolve().parents[2]
REFUSED = {
    # name -> kind; each stands for one step of opening a document
    "a huge string": "document_bytes",
    "too many tokens": "tokens",
    "aliases": "aliases",
    "introspection, 15 times": "introspection_cost",
    "pages in fragments in pages": "depth",
    "different fragments in one place": "merges",
}


def _attack(name: str) -> str:
    if name == "too many tokens":
        return "{ " + "id " * 2_000 + "}"
    return ATTACKS[name]() + " " * (40_000 if name == "a huge string" else 0)


def _limit(errors: list[dict[str, Any]]) -> str:
    (error,) = errors
    extensions = error["extensions"]
    assert extensions["code"] == "LIMIT_EXCEEDED"
    assert re.fullmatch("[0-9a-f]{32}", extensions["requestId"])
    assert str(extensions["limit"]) in error["message"]
    assert str(extensions["actual"]) in error["message"]
    return str(extensions["kind"])


async def _frame(socket: Any, payload: dict[str, Any]) -> dict[str, Any]:
    """The first frame that answers an operation."""
    await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
    frame: dict[str, Any] = await socket.receive_json()
    if frame["type"] == "next":
        assert (await socket.receive_json())["type"] == "complete"
    return frame


@pytest.mark.parametrize("name", REFUSED)
async def test_an_attack_is_refused_alike_on_every_transport(product: Product, name: str) -> None:
    text = _attack(name)
    assert _limit((await product.post(text))["errors"]) == REFUSED[name]
    if len(text) < 6_000:  # a longer URL is refused by the server
        async with product.http.get(f"{product.url}/graphql", params={"query": text}) as response:
            assert _limit((await response.json())["errors"]) == REFUSED[name]
    async with product.socket(None) as socket:
        frame = await _frame(socket, {"query": text})
        assert frame["type"] == "error"
        assert _limit(frame["payload"]) == REFUSED[name]
        assert (await _frame(socket, {"query": "{ __typename }"}))["payload"]["data"] == {"__typename": "Query"}


@pytest.mark.parametrize("kind", ["input_depth", "list_items", "input_bytes"])
async def test_hostile_variables_are_refused_for_every_kind_of_operation(product: Product, kind: str) -> None:
    person = await product.sign_up()
    variables = {"id": "ans_" + "0" * 32, "input": HOSTILE_VARIABLES[kind]()}
    for query in ("query($id: ID!) { node(id: $id) { id } }", SEND, ANSWER):
        async with product.socket(person.token) as socket:
            assert _limit((await _frame(socket, {"query": query, "variables": variables}))["payload"]) == kind
    assert _limit((await person.raw(SEND, **variables))["errors"]) == kind


async def test_a_refused_mutation_changes_nothing(product: Product) -> None:
    person = await product.sign_up()
    conversation = await person.conversation()
    text = "mutation($i: SendMessageInput!) { sendMessage(input: $i) { __typename " + "__typename " * 99 + "} }"
    body = await person.raw(text, i={"conversationId": conversation, "text": "A question?"})
    assert _limit(body["errors"]) == "merges"
    query = "query($id: ID!) { node(id: $id) { ... on Conversation { messages { nodes { id } } } } }"
    assert (await person.query(query, id=conversation))["node"]["messages"]["nodes"] == []


async def test_an_answer_is_streamed_while_attacks_are_refused(product: Product) -> None:
    person = await product.sign_up()
    await person.ready_document(b"The capital of Norlandia is Vexholm. It was founded in 1432 by Queen Astrid.")
    attacking = asyncio.create_task(_attack_until_cancelled(product))
    try:
        events = await person.ask("When was Vexholm founded?")
    finally:
        attacking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attacking
    assert events[-1]["__typename"] == "AnswerCompleted"


async def _attack_until_cancelled(product: Product) -> None:
    texts = [attack() for attack in ATTACKS.values()]
    while True:
        for text in texts:
            assert await product.post(text)


async def test_a_response_tells_its_cost_where_the_header_asks(product: Product) -> None:
    person = await product.sign_up()
    query = "{ viewer { conversations(first: 30) { nodes { id messages(first: 2) { nodes { text } } } } } }"
    await person.conversation()
    async with counted(product) as statements:
        body = await _asking_for_cost(product, person, {"query": query})
    limit = product.settings.limit_cost
    assert body["extensions"]["cost"] == {
        "requested": 2 + 202 + 1 + 30 * (2 + 12 + 1 + 2 * 2),
        "limit": limit,
        "sqlStatements": len(statements),
    }
    assert len(statements) == 2
    assert "extensions" not in await person.raw(query)


async def test_the_statements_of_a_write_are_counted(product: Product) -> None:
    person = await product.sign_up()
    conversation = await person.conversation()
    payload = {"query": SEND, "variables": {"input": {"conversationId": conversation, "text": "A question?"}}}
    async with counted(product) as statements:
        body = await _asking_for_cost(product, person, payload)
        # Those of the answer that is being written are not the request's.
        written = [text for text in statements if "INSERT INTO messages" in text or "INSERT INTO answers" in text]
    cost = body["extensions"]["cost"]
    assert 1_000 < cost["requested"] < 1_020
    assert 1 <= len(written) < cost["sqlStatements"] <= len(statements)


async def test_a_socket_asks_for_the_cost_of_one_operation_in_its_payload(product: Product) -> None:
    person = await product.sign_up()
    payload: dict[str, Any] = {"query": "{ viewer { tenant { name } } }"}
    async with product.socket(person.token) as socket:
        frame = await _frame(socket, {**payload, "extensions": {"cost": True}})
        assert frame["payload"]["extensions"]["cost"]["requested"] == 2 + 202 + 1
        assert frame["payload"]["extensions"]["cost"]["sqlStatements"] == 1
        assert "extensions" not in (await _frame(socket, payload))["payload"]
        sent = await person.send(await person.conversation(), "A question?")
        asked = {"query": ANSWER, "variables": {"id": sent["answer"]["id"]}, "extensions": {"cost": True}}
        await socket.send_json({"id": "2", "type": "subscribe", "payload": asked})
        costs = []
        while (frame := await socket.receive_json())["type"] == "next":
            costs.append(frame["payload"]["extensions"]["cost"]["sqlStatements"])
    assert frame["type"] == "complete"
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


async def test_one_document_is_kept_for_all_transports(product: Product) -> None:
    person = await product.sign_up()
    text = "query OfAllTransports { viewer { user { name } } }"
    first = await person.query(text)
    async with product.socket(person.token) as socket:
        assert (await _frame(socket, {"query": text}))["payload"]["data"] == first
    # A known document is still checked for what it may do by GET, and for who asks.
    assert (await product.post(text))["data"] == {"viewer": None}
    mutation = SEND.replace("mutation", "mutation OfAllTransports")
    await person.send(await person.conversation(), "A question?")
    await person.raw(mutation, input={"conversationId": "x", "text": "y"})
    async with product.http.get(f"{product.url}/graphql", params={"query": mutation}) as response:
        assert response.status == 405


async def test_graphiql_s_introspection_and_its_example_tabs_are_within_the_limits(product: Product) -> None:
    person = await product.sign_up()
    assert "errors" not in await person.raw(get_introspection_query(one_of=True, input_value_deprecation=True))
    sources = (ROOT / "web/graphiql/src/examples.ts").read_text(encoding="utf-8")
    documents = [text.replace("\\`", "`") for text in re.findall(r"`(#.*?)(?<!\\)`;", sources, re.DOTALL)]
    assert len(documents) >= 4
    for text in documents:
        body = json.dumps(await person.raw(text))
        assert "LIMIT_EXCEEDED" not in body
        # Without its variables an example goes no further than that.
        assert "GRAPHQL_VALIDATION_FAILED" not in body or "Variable" in body


async def _asking_for_cost(product: Product, person: Person, payload: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {person.token}", "x-colloquy-cost": "1"}
    async with product.http.post(f"{product.url}/graphql", json=payload, headers=headers) as response:
        body: dict[str, Any] = await response.json()
    return body
