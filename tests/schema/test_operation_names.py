"""Which operation of a document is meant: the same on every transport, whatever stands in the place of its name."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import GraphQLError, parse
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionContext

from multipart import Part, file_map, form, send
from open_sockets import tracebacks
from product import START, Person, Product
from schema.root import make_schema
from streams import SSE

TRANSPORTS = ("post", "get", "form", "stream", "socket")
ONE = "{ viewer { user { id } } }"
NAMED = "query A { viewer { user { id } } }"
TWO = f"{NAMED} query B {{ __typename }}"
DEAR = """query A { viewer { conversations(first: 100) { nodes {
  messages(first: 100) { nodes { id answers { id } } } } } } }"""
SEVERAL = "The document has several operations: say in `operationName` which."
CONVERSATIONS = "{ viewer { conversations { nodes { id } } } }"


async def asked(person: Person, transport: str, query: str, name: object) -> dict[str, Any]:
    """The one result of an operation; on a socket with what an `error` has, in the place of a result's errors."""
    payload = {"query": query, "operationName": name}
    product, content = person.product, json.dumps(payload).encode()
    headers = {"Authorization": f"Bearer {person.token}", "Content-Type": "application/json"}
    if transport == "form":
        return (await send(product, person.token, form(Part("operations", content), file_map({})))).body
    if transport == "get":
        given = {key: str(value) for key, value in payload.items()}
        async with product.http.get(f"{product.url}/graphql", params=given, headers=headers) as response:
            return await response.json()  # type: ignore[no-any-return]
    if transport == "socket":
        return await on_socket(person, payload)
    if transport == "stream":
        headers["Accept"] = SSE
    async with product.http.post(f"{product.url}/graphql", data=content, headers=headers) as response:
        text = await response.text()
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    return json.loads(lines[0] if lines else text)  # type: ignore[no-any-return]


async def on_socket(person: Person, payload: dict[str, Any]) -> dict[str, Any]:
    """What answers an operation, behind which the socket serves others."""
    async with person.product.socket(person.token) as socket:
        await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
        frame = await socket.receive_json()
        assert frame["type"] in ("next", "error"), frame
        if frame["type"] == "next":
            assert (await socket.receive_json()) == {"id": "1", "type": "complete"}
        await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": "{ __typename }"}})
        assert (await socket.receive_json())["payload"]["data"] == {"__typename": "Query"}
    return frame["payload"] if frame["type"] == "next" else {"errors": frame["payload"]}


def refusal(body: dict[str, Any]) -> tuple[str, str]:
    """Code and message of the one error, with which no data came."""
    (error,) = body["errors"]
    assert body.get("data") is None
    return error["extensions"]["code"], error["message"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_empty_name_is_none(product: Product, transport: str) -> None:
    person = await product.sign_up()
    with tracebacks() as found:
        for query in (ONE, NAMED):
            body = await asked(person, transport, query, "")
            assert body["data"] == {"viewer": {"user": {"id": person.user_id}}}
        assert refusal(await asked(person, transport, TWO, "")) == ("BAD_USER_INPUT", SEVERAL)
        code, message = refusal(await asked(person, transport, DEAR, ""))
        assert code == "LIMIT_EXCEEDED"
        assert "(cost)" in message
    assert found == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_unknown_name_is_refused(product: Product, transport: str) -> None:
    person = await product.sign_up()
    for query in (ONE, NAMED, TWO):
        assert refusal(await asked(person, transport, query, "C")) == (
            "BAD_USER_INPUT",
            'Unknown operation named "C".',
        )


@pytest.mark.parametrize("transport", ["post", "form", "stream"])
@pytest.mark.parametrize("name", [7, ["A"], {"a": "A"}, True, 0, False, []])
async def test_what_is_no_string_is_no_name(product: Product, transport: str, name: object) -> None:
    person = await product.sign_up()
    expected = ("BAD_USER_INPUT", "`operationName` must be a string.")
    assert refusal(await asked(person, transport, NAMED, name)) == expected


async def test_a_mutation_without_a_name_is_run_once_over_a_socket(product: Product) -> None:
    person = await product.sign_up()
    payload = {"query": START, "operationName": "", "variables": {"input": {"title": "Ferries"}}}
    body = await on_socket(person, payload)
    assert body["data"]["startConversation"]["conversation"]["title"] == "Ferries"
    assert len((await person.query(CONVERSATIONS))["viewer"]["conversations"]["nodes"]) == 1


async def test_a_subscription_with_an_empty_name_is_streamed(product: Product) -> None:
    person = await product.sign_up()
    payload = {"query": "subscription { documents { __typename } }", "operationName": ""}
    headers = {"Authorization": f"Bearer {person.token}", "Accept": SSE}
    async with product.http.post(f"{product.url}/graphql", json=payload, headers=headers) as response:
        assert (response.status, response.content_type) == (200, SSE)


@pytest.mark.parametrize("name", [None, "", "C"])
def test_an_error_is_told_whatever_the_operation_is_called(name: str | None) -> None:
    schema = make_schema()
    context = ExecutionContext("", schema, (), provided_operation_name=name)
    context.graphql_document = parse(TWO)
    errors = [GraphQLError("Words of validation.")]
    schema.process_errors(errors, context)
    assert [error.message for error in errors] == ["Words of validation."]


class _Faulty(SchemaExtension):
    """Fails where nobody expects it, outside of what Strawberry turns into a result."""

    async def on_operation(self) -> AsyncIterator[None]:
        """Around an operation."""
        if self.execution_context.operation_name == "Faulty":
            raise ValueError("a canary of the fault")
        yield


async def test_a_fault_of_an_operation_s_task_is_an_error_and_not_an_end_without_a_result(
    own_product: Product, caplog: pytest.LogCaptureFixture
) -> None:
    person = await own_product.sign_up()
    assert own_product.app is not None
    schema = own_product.app.state.graphql.schema
    schema.extensions = (*schema.extensions, _Faulty)
    caplog.set_level(logging.ERROR)
    payload = {"query": "query Faulty { __typename }", "operationName": "Faulty"}
    (error,) = (await on_socket(person, payload))["errors"]
    assert error["message"].startswith("Something went wrong on our side.")
    assert error["extensions"]["code"] == "INTERNAL"
    events = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    (line,) = [event for event in events if event["event"] == "request failed"]
    assert line["request_id"] == error["extensions"]["requestId"]
    assert "canary" in str(line["exc_info"])
