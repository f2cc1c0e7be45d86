"""Bad input, each with its own clear error; nothing is lost and the next request works."""

from __future__ import annotations

from typing import Any

import pytest

from product import START, OperationFailed, Person, Product

CONVERSATIONS = (
    "query($first: Int, $after: String) { viewer { conversations(first: $first, after: $after) { nodes { id } } } }"
)


def _error(body: dict[str, Any]) -> tuple[str, str]:
    (error,) = body["errors"]
    assert error["extensions"]["requestId"]
    return error["extensions"]["code"], error["message"]


@pytest.mark.parametrize("first", [0, -1, 101, 1000])
async def test_a_page_size_outside_its_bounds_is_refused_with_the_bounds(product: Product, first: int) -> None:
    person = await product.sign_up()
    code, message = _error(await person.raw(CONVERSATIONS, first=first))
    assert code == "BAD_USER_INPUT"
    assert str(first) in message
    assert "between 1 and 100" in message


@pytest.mark.parametrize("cursor", ["", "x", "MQ", "!!!!", "é" * 300, "MTIzfDQ1Ng"])
async def test_a_cursor_that_was_never_given_out_is_refused(product: Product, cursor: str) -> None:
    person = await product.sign_up()
    code, message = _error(await person.raw(CONVERSATIONS, after=cursor))
    assert code == "BAD_USER_INPUT"
    assert "not a cursor" in message


@pytest.mark.parametrize(
    "identifier", ["", "x", "cnv_", "cnv_" + "g" * 32, "cnv_" + "A" * 32, "\x00", "cnv_" + "0" * 33]
)
async def test_a_malformed_id_is_refused_wherever_it_is_given(product: Product, identifier: str) -> None:
    person = await product.sign_up()
    assert _error(await person.raw("query($id: ID!) { node(id: $id) { id } }", id=identifier))[0] == "BAD_USER_INPUT"
    sent = await person.send(identifier, "A question?")
    assert (sent["code"], sent["field"]) == ("INVALID_INPUT", "conversationId")
    with pytest.raises(OperationFailed, match="BAD_USER_INPUT"):
        [event async for event in person.follow(identifier)]


async def test_the_id_of_another_kind_is_not_taken_for_this_one(product: Product) -> None:
    person = await product.sign_up()
    conversation = await person.conversation()
    with pytest.raises(OperationFailed, match="another kind"):
        [event async for event in person.follow(conversation)]


async def test_an_unknown_conversation_is_not_found(product: Product) -> None:
    person = await product.sign_up()
    sent = await person.send("cnv_" + "0" * 32, "A question?")
    assert sent["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        ("\u200b\u2060\ufeff \u202e", "empty"),
        ("\u3164\u2800", "empty"),
        ("x" * 100_000, "at most 10000"),
        ("a\x00b", "not text"),
    ],
    ids=["nothing", "spaces", "invisible", "fillers", "too long", "NUL"],
)
async def test_a_question_that_cannot_be_asked_is_refused_and_not_stored(
    product: Product, text: str, reason: str
) -> None:
    person = await product.sign_up()
    conversation = await person.conversation()
    sent = await person.send(conversation, text)
    assert (sent["code"], sent["field"]) == ("INVALID_INPUT", "text")
    assert reason in sent["reason"]
    assert await _messages(person, conversation) == []
    passages = "query($text: String!) { viewer { passages(query: $text) { score } } }"
    assert _error(await person.raw(passages, text=text))[0] == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    ("key", "reason"),
    [("", "between 1 and 200"), ("k" * 201, "between 1 and 200"), ("a\x00b", "not text")],
    ids=["empty", "too long", "NUL"],
)
async def test_an_idempotency_key_that_is_none_is_told_why_and_nothing_is_stored(
    product: Product, key: str, reason: str
) -> None:
    person = await product.sign_up()
    conversation = await person.conversation()
    sent = await person.send(conversation, "A question?", idempotencyKey=key)
    assert (sent["code"], sent["field"]) == ("INVALID_INPUT", "idempotencyKey")
    assert reason in sent["reason"]
    assert await _messages(person, conversation) == []


@pytest.mark.parametrize("title", ["x" * 201, "a\x00b", "two\nlines", "a bell\x07", "\u202eesrever", "\u200b"])
async def test_a_title_that_is_too_long_or_not_printable_is_told_so_and_nothing_is_started(
    product: Product, title: str
) -> None:
    person = await product.sign_up()
    start = START.replace("code message", "code message ... on InvalidInput { field }")
    refused = (await person.query(start, input={"title": title}))["startConversation"]
    assert (refused["code"], refused["field"]) == ("INVALID_INPUT", "title")
    assert "at most 200 characters, all of them printable" in refused["message"]
    assert (await person.query(CONVERSATIONS))["viewer"]["conversations"]["nodes"] == []


async def test_a_title_taken_from_a_question_is_printable(product: Product) -> None:
    person = await product.sign_up()
    conversation = await person.conversation()
    await person.send(conversation, "\u202eWhen does\x07\nthe ferry leave?")
    node = await person.query("query($id: ID!) { node(id: $id) { ... on Conversation { title } } }", id=conversation)
    assert node["node"]["title"] == "When does the ferry leave?"


async def test_a_question_of_the_greatest_length_is_answered(product: Product) -> None:
    person = await product.sign_up()
    conversation = await person.conversation()
    events = await person.ask("why " * 2_500, conversation)
    assert events[-1]["__typename"] == "AnswerCompleted"


async def test_a_lone_surrogate_is_refused(product: Product) -> None:
    person = await product.sign_up()
    conversation = await person.conversation()
    body = (
        b'{"query":"mutation($i: SendMessageInput!) { sendMessage(input: $i) { ... on UserError { code } } }",'
        b'"variables":{"i":{"conversationId":"' + conversation.encode() + b'","text":"a\\ud800b"}}}'
    )
    headers = {"Authorization": f"Bearer {person.token}", "Content-Type": "application/json"}
    async with product.http.post(f"{product.url}/graphql", data=body, headers=headers) as response:
        text = await response.text()
    assert "INTERNAL" not in text
    assert await _messages(person, conversation) == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query($x: Nothing!) { viewer { conversations(first: $x) { nodes { id } } } }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_a_bad_operation_is_told_so_and_the_socket_lives_on(product: Product, query: str, code: str) -> None:
    person = await product.sign_up()
    body = await person.raw(query)
    assert body["errors"][0]["extensions"]["code"] == code
    async with product.socket(person.token) as socket:
        await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": query}})
        refused = await socket.receive_json()
        assert (refused["id"], refused["type"]) == ("1", "error")
        assert refused["payload"][0]["extensions"]["code"] == code
        await socket.send_json({"id": "2", "type": "subscribe", "payload": {"query": "{ viewer { user { email } } }"}})
        answer = await socket.receive_json()
        assert answer["payload"]["data"]["viewer"]["user"]["email"] == person.email


async def test_operations_of_one_socket_do_not_share_a_transaction(product: Product) -> None:
    person = await product.sign_up()
    async with product.socket(person.token) as socket:
        for number in range(20):
            payload = {"query": "{ viewer { user { email } conversations { nodes { id } } } }"}
            await socket.send_json({"id": str(number), "type": "subscribe", "payload": payload})
        answered = set()
        while len(answered) < 20:
            frame = await socket.receive_json()
            if frame["type"] == "next":
                assert not frame["payload"].get("errors")
                answered.add(frame["id"])


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"null", b"\xff", b'{"query": 1}', b'{"query": "{viewer{user{id}}}", "variables": []}']
)
async def test_a_body_that_is_no_request_is_refused_in_graphql_s_own_form(product: Product, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    async with product.http.post(f"{product.url}/graphql", data=body, headers=headers) as response:
        assert 400 <= response.status < 500
        answer = await response.json()
    assert answer["errors"][0]["message"]


async def test_too_many_ids_are_refused(product: Product) -> None:
    person = await product.sign_up()
    body = await person.raw("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=["doc_" + "0" * 32] * 101)
    assert _error(body)[0] == "LIMIT_EXCEEDED"


async def _messages(person: Person, conversation: str) -> list[dict[str, Any]]:
    query = "query($id: ID!) { node(id: $id) { ... on Conversation { messages { nodes { text } } } } }"
    return (await person.query(query, id=conversation))["node"]["messages"]["nodes"]  # type: ignore[no-any-return]


async def test_a_subscription_by_post_is_the_client_s_mistake_and_named_so(product: Product) -> None:
    person = await product.sign_up()
    payload = {"query": 'subscription { answer(id: "x") { __typename } }'}
    headers = {"Authorization": f"Bearer {person.token}"}
    async with product.http.post(f"{product.url}/graphql", json=payload, headers=headers) as response:
        (error,) = (await response.json())["errors"]
    assert (response.status, error["extensions"]["code"]) == (400, "BAD_USER_INPUT")
    assert "ask for one by `Accept: text/event-stream`" in error["message"]


async def test_an_operation_that_is_not_in_the_document_is_the_client_s_mistake_on_a_socket_too(
    product: Product,
) -> None:
    async with product.socket(None) as socket:
        payload = {"query": "query A { __typename }", "operationName": "B"}
        await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
        frame = await socket.receive_json()
    assert frame["type"] == "error"
    assert frame["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert '"B"' in frame["payload"][0]["message"]
