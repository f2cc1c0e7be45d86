"""Signing up and in: who is let in, who is not, and what a stranger learns from the answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from core.ids import new_id
from owner import as_owner, set_role, short_lived
from product import PASSWORD, Person, Product

SIGN_UP = """mutation($input: SignUpInput!) { signUp(input: $input) { __typename
  ... on SignUpPayload { session { accessToken expiresAt refreshToken user { id name email role } } }
  ... on UserError { code message } ... on InvalidInput { field } } }"""
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) { __typename
  ... on SignInPayload { session { accessToken user { id email } } } ... on UserError { code message } } }"""
VIEWER = "{ viewer { user { email role } tenant { name } assistants { nodes { name } } } }"
NEW = {"organization": "Org", "name": "Pat", "email": "pat@example.test", "password": PASSWORD}


async def sign_up(product: Product, **changes: Any) -> dict[str, Any]:
    """The result of `signUp`."""
    body = await product.post(SIGN_UP, {"input": NEW | changes})
    assert "errors" not in body, body
    return body["data"]["signUp"]  # type: ignore[no-any-return]


async def sign_in(product: Product, email: str, password: str = PASSWORD) -> dict[str, Any]:
    """The result of `signIn`."""
    body = await product.post(SIGN_IN, {"input": {"email": email, "password": password}})
    assert "errors" not in body, body
    return body["data"]["signIn"]  # type: ignore[no-any-return]


async def stored(product: Product) -> list[tuple[Any, ...]]:
    """How many tenants, people and assistants there are."""
    return await as_owner(
        product.settings,
        "SELECT (SELECT count(*) FROM tenants), (SELECT count(*) FROM users), (SELECT count(*) FROM assistants)",
    )


def code_of(body: dict[str, Any]) -> str:
    """The code of a response's one error."""
    (error,) = body["errors"]
    return error["extensions"]["code"]  # type: ignore[no-any-return]


async def test_who_signs_up_has_an_organisation_with_an_assistant_and_the_role_business(own_product: Product) -> None:
    session = (await sign_up(own_product))["session"]
    assert session["user"] == session["user"] | {"name": "Pat", "email": "pat@example.test", "role": "BUSINESS"}
    viewer = (await own_product.post(VIEWER, token=session["accessToken"]))["data"]["viewer"]
    assert viewer["tenant"] == {"name": "Org"}
    assert viewer["assistants"]["nodes"] == [{"name": "Assistant"}]
    assert await stored(own_product) == [(1, 1, 1)]


async def test_who_signed_up_signs_in_to_the_same_account(own_product: Product) -> None:
    made = (await sign_up(own_product))["session"]
    session = (await sign_in(own_product, "pat@example.test"))["session"]
    assert session["user"]["id"] == made["user"]["id"]
    assert session["accessToken"] != made["accessToken"]


async def test_a_wrong_password_and_an_unknown_account_are_answered_alike(own_product: Product) -> None:
    await sign_up(own_product)
    wrong = await sign_in(own_product, "pat@example.test", PASSWORD + "!")
    assert wrong["code"] == "INVALID_CREDENTIALS"
    for email in ("nobody@example.test", "", "not an address", "x" * 10_000 + "@example.test", "a\x00b@example.test"):
        assert await sign_in(own_product, email) == wrong
    for password in ("", PASSWORD.upper(), "x" * 100_000, "a\x00b"):
        assert await sign_in(own_product, "pat@example.test", password) == wrong


@pytest.mark.parametrize(
    ("signed_up", "typed"),
    [
        ("Pat@Example.TEST", "pAT@exaMPLE.test"),
        ("pat@example.test", "  pat@example.test "),
        ("jo\u0308rg@example.test", "j\u00f6rg@example.test"),
        ("j\u00f6rg@example.test", "jo\u0308rg@example.test"),
        ("pat@b\u00fccher.test", "pat@B\u00dcCHER.test"),
        ("pat@\uff45xample.test", "pat@example.test"),
    ],
)
async def test_an_address_is_the_same_however_it_is_typed(own_product: Product, signed_up: str, typed: str) -> None:
    made = (await sign_up(own_product, email=signed_up))["session"]
    for email in (signed_up, typed):
        assert (await sign_in(own_product, email))["session"]["user"] == {
            "id": made["user"]["id"],
            "email": made["user"]["email"],
        }
    assert (await sign_up(own_product, email=typed))["code"] == "CONFLICT"


JOINED = ("\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "The \U0001f468\u200d\U0001f469\u200d\U0001f467 team")


@pytest.mark.parametrize("name", JOINED)
async def test_names_that_are_written_with_joiners_are_names(product: Product, name: str) -> None:
    result = await sign_up(product, email=f"{new_id().hex}@example.test", name=name)
    assert result["__typename"] == "SignUpPayload"


async def test_a_taken_address_is_a_conflict_and_nothing_is_stored(own_product: Product) -> None:
    await sign_up(own_product)
    before = await stored(own_product)
    result = await sign_up(own_product, organization="Another", password="kestrel over gorse")
    assert (result["__typename"], result["code"]) == ("Conflict", "CONFLICT")
    assert await stored(own_product) == before
    assert (await sign_in(own_product, "pat@example.test", "kestrel over gorse"))["code"] == "INVALID_CREDENTIALS"


async def test_of_two_who_take_an_address_at_once_one_gets_it(own_product: Product) -> None:
    results = await asyncio.gather(*(sign_up(own_product, organization=f"Org {n}") for n in range(4)))
    assert sorted(result["__typename"] for result in results) == ["Conflict"] * 3 + ["SignUpPayload"]
    assert await stored(own_product) == [(1, 1, 1)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("password", value) for value in ("", "x" * 9, "x" * 129, "password123", "Pat@Example.Test")),
        *(("email", value) for value in ("", "pat", "pat@", "@example.test", "a b@example.test", "pat@example")),
        *(("email", value) for value in ("x" * 250 + "@example.test", "pat@example.test\nx", "a\x00b@example.test")),
        *(
            (field, value)
            for field in ("organization", "name")
            for value in ("", "  ", "\u200d", "x" * 201, "a\x00b", "a\nb")
        ),
    ],
)
async def test_what_cannot_be_accepted_is_named_and_nothing_is_stored(product: Product, field: str, value: str) -> None:
    before = await stored(product)
    result = await sign_up(product, **{field: value})
    assert (result["__typename"], result["code"], result["field"]) == ("InvalidInput", "INVALID_INPUT", field)
    assert await stored(product) == before


@pytest.mark.parametrize(
    "password",
    [
        *("kV9$wqpLz2", ("thistle-ravine-omelet-" * 6)[:128]),
        *("пароль из слов", "a\x00b\x00c\x00d\x00e\x00f", "🔑🦊🌵🎻🧭🪁🥨🧶🛶🎏"),
    ],
)
async def test_a_password_within_the_limits_is_good_for_signing_in(own_product: Product, password: str) -> None:
    await sign_up(own_product, password=password)
    assert (await sign_in(own_product, "pat@example.test", password))["__typename"] == "SignInPayload"
    assert (await sign_in(own_product, "pat@example.test", password + "x"))["code"] == "INVALID_CREDENTIALS"


async def _everywhere(person: Person, odd: str) -> list[tuple[str, dict[str, Any]]]:
    """Every operation with a text in it, with the odd text there."""
    conversation = await person.conversation()
    list_query = "query($t: String) { viewer { %s { nodes { id } } } }"
    return [
        *((SIGN_UP, {"input": NEW | {field: odd}}) for field in NEW),
        (SIGN_IN, {"input": {"email": odd, "password": PASSWORD}}),
        (SIGN_IN, {"input": {"email": person.email, "password": odd}}),
        ("query($t: ID!) { node(id: $t) { id } }", {"t": odd}),
        ("query($t: [ID!]!) { nodes(ids: $t) { id } }", {"t": [odd]}),
        *((list_query % f"{name}(after: $t)", {"t": odd}) for name in ("assistants", "conversations", "documents")),
        (list_query % "conversations(title: $t)", {"t": odd}),
        ("query($t: String!) { viewer { passages(query: $t) { score } } }", {"t": odd}),
        ('query($t: ID!) { viewer { passages(query: "x", assistantId: $t) { score } } }', {"t": odd}),
        *(
            (
                "mutation($i: StartConversationInput!) { startConversation(input: $i) { __typename } }",
                {"i": {field: odd}},
            )
            for field in ("assistantId", "title")
        ),
        *(
            (
                "mutation($i: SendMessageInput!) { sendMessage(input: $i) { __typename } }",
                {"i": {"conversationId": conversation, "text": "Why?"} | {field: odd}},
            )
            for field in ("conversationId", "text", "idempotencyKey")
        ),
    ]


@pytest.mark.parametrize("odd", ["a\x00b", "\x00", "\ud800", "a\udfffb@example.test", "\ufffe\uffff"])
async def test_text_that_cannot_be_stored_is_never_our_fault(product: Product, odd: str) -> None:
    person = await product.sign_up()
    headers = {"Authorization": f"Bearer {person.token}", "Content-Type": "application/json"}
    for query, variables in await _everywhere(person, odd):
        as_variables = json.dumps({"query": query, "variables": variables})
        async with product.http.post(f"{product.url}/graphql", data=as_variables, headers=headers) as response:
            text = await response.text()
        assert response.status < 500, (query, variables)
        assert "INTERNAL" not in text, (query, variables)
    literal = json.dumps(odd)
    in_query = json.dumps({"query": f"{{ viewer {{ conversations(title: {literal}) {{ nodes {{ id }} }} }} }}"})
    async with product.http.post(f"{product.url}/graphql", data=in_query, headers=headers) as response:
        assert "INTERNAL" not in await response.text()
    assert (await person.query("{ viewer { user { email } } }"))["viewer"]["user"]["email"] == person.email


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Basic cGF0OnBhdA==", "nonsense", "Bearer \u00e9", "bearer x y"],
)
async def test_a_garbage_authorization_header_is_nobody_s(product: Product, header: str) -> None:
    await product.sign_up()
    for query in (VIEWER, '{ node(id: "usr_00000000000000000000000000000000") { id } }'):
        headers = {"Authorization": header}
        async with product.http.post(f"{product.url}/graphql", json={"query": query}, headers=headers) as response:
            body = await response.json()
        assert code_of(body) == "UNAUTHENTICATED", body


async def test_nobody_is_told_to_sign_in_and_changes_nothing(own_product: Product) -> None:
    start = "mutation { startConversation(input: {}) { __typename } }"
    body = await own_product.post(start)
    assert code_of(body) == "UNAUTHENTICATED"
    assert await as_owner(own_product.settings, "SELECT count(*) FROM conversations") == [(0,)]


async def test_an_expired_token_is_refused_with_the_reason(product: Product) -> None:
    expired = short_lived(await product.sign_up(), -1)
    body = await product.post(VIEWER, token=expired)
    assert code_of(body) == "UNAUTHENTICATED"
    assert "expired" in body["errors"][0]["message"]


async def test_the_token_of_an_account_that_is_gone_is_nobody_s(product: Product) -> None:
    person = await product.sign_up()
    await as_owner(product.settings, "DELETE FROM users WHERE email = $1", person.email)
    assert code_of(await product.post(VIEWER, token=person.token)) == "UNAUTHENTICATED"


async def test_a_changed_role_counts_at_once(product: Product) -> None:
    person = await product.sign_up()
    await set_role(person, "USER")
    assert (await person.query(VIEWER))["viewer"]["user"]["role"] == "USER"
    body = await product.upload_raw(person.token, b"text", "notes.txt")
    assert code_of(body) == "FORBIDDEN"
