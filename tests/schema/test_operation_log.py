"""What the log says of an operation, and what it never says."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from core.ids import NodeKind, parse_id
from product import PASSWORD, Product

SIGN_IN = "mutation SignMeIn($input: SignInInput!) { signIn(input: $input) { __typename } }"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """The operations logged so far."""
    caplog.set_level(logging.INFO)

    def found() -> list[dict[str, Any]]:
        events = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
        return [event for event in events if event["event"] == "operation"]

    return found


async def test_an_operation_is_one_line_with_who_what_and_how_long(product: Product, lines: Any) -> None:
    person = await product.sign_up()
    before = len(lines())
    await person.query("query Mine { viewer { user { id } } again: viewer { __typename } }")
    (line,) = lines()[before:]
    assert (line["operation"], line["kind"], line["fields"]) == ("Mine", "query", ["viewer", "viewer"])
    assert (line["tenant"], line["person"]) == (person.tenant_id.hex, parse_id(NodeKind.USER, person.user_id).hex)
    assert line["errors"] == []
    assert 0 < line["ms"] < 20_000
    assert len(line["request_id"]) == 32


async def test_a_refused_operation_has_the_codes_and_the_request_id_that_its_client_was_told(
    product: Product, lines: Any
) -> None:
    for query, code in (
        ("{ viewer { members { nodes { id } } } ", "GRAPHQL_PARSE_FAILED"),
        ("{ nope }", "GRAPHQL_VALIDATION_FAILED"),
        ('{ node(id: "usr_' + "0" * 32 + '") { id } }', "UNAUTHENTICATED"),
    ):
        (error,) = (await product.post(query))["errors"]
        line = lines()[-1]
        assert line["errors"] == [code]
        assert line["request_id"] == error["extensions"]["requestId"]
        assert (line["tenant"], line["person"]) == (None, None)


async def test_whoever_signs_in_is_named_by_the_operation_that_did_it(product: Product, lines: Any) -> None:
    person = await product.sign_up()
    await product.post(SIGN_IN, {"input": {"email": person.email, "password": PASSWORD}})
    line = lines()[-1]
    assert (line["operation"], line["fields"]) == ("SignMeIn", ["signIn"])
    assert line["person"] == parse_id(NodeKind.USER, person.user_id).hex


async def test_a_subscription_is_logged_when_it_ends(product: Product, lines: Any) -> None:
    person = await product.sign_up()
    await person.ask("What is there?")
    (line,) = [line for line in lines() if line["kind"] == "subscription"]
    assert line["fields"] == ["answer"]
    assert line["errors"] == []


async def test_a_name_of_an_operation_that_is_not_there_is_not_repeated(product: Product, lines: Any) -> None:
    payload = {"query": "query A { __typename }", "operationName": "secret-of-somebody"}
    async with product.http.post(f"{product.url}/graphql", json=payload) as response:
        assert response.status == 200  # the request is well-formed
    assert (lines()[-1]["operation"], lines()[-1]["errors"]) == (None, ["BAD_USER_INPUT"])
    assert "secret-of-somebody" not in str(lines())
