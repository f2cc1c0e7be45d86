"""Errors name the field and the type that is expected, and never tell a value back: it may be a password."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    parse,
    specified_rules,
    validate,
)
from graphql.execution import get_variable_values

from multipart import Part, file_map, form, send
from product import Person, Product
from schema.root import make_schema
from schema.wording import MISFIT, without_values
from streams import SSE

CANARY = "hunter2-canary"
TRICKY = (
    CANARY,
    f"{CANARY}, found: {CANARY}",
    f"x' does not exist in 'Role' enum. Did you mean the enum value '{CANARY}'?",
    f"a. Did you mean the enum value '{CANARY}'?",
    f"a\n{CANARY}\n'\"",
    f" Did you mean {CANARY}?",
)
LITERALS = (*map(json.dumps, TRICKY), f'"""{CANARY}"""')
SIGN_IN = "mutation($i: SignInInput!) { signIn(input: $i) { __typename } }"


@pytest.fixture(scope="module", params=[True, False], ids=["with suggestions", "without"])
def suggesting(request: pytest.FixtureRequest) -> bool:
    """Whether graphql-core suggests names, as it does outside of production."""
    return bool(request.param)


@pytest.fixture(scope="module")
def graphql_schema() -> GraphQLSchema:
    return make_schema()._schema


def types_of(schema: GraphQLSchema) -> Iterator[Any]:
    """Every type that input may have."""
    kinds = (GraphQLInputObjectType, GraphQLEnumType, GraphQLScalarType)
    return (kind for kind in schema.type_map.values() if isinstance(kind, kinds) and not kind.name.startswith("__"))


def values_for(kind: Any, canary: object) -> Iterator[Any]:
    """Values that hold the canary wherever the type has a place for one, and most of which do not fit."""
    yield from (canary, [canary], {"userld": canary}, {str(canary): canary}, {"a": {"b": [canary]}}, [[canary]])
    if isinstance(kind, GraphQLInputObjectType):
        for name in kind.fields:
            yield from ({name: canary}, {name: [canary]}, {name: {"a": canary}}, {name: None, "x": canary})


def of_variables(schema: GraphQLSchema, kind: str, value: Any, *, suggesting: bool) -> list[GraphQLError]:
    (operation,) = parse(f"query($v: {kind}) {{ __typename }}").definitions
    found = get_variable_values(
        schema,
        operation.variable_definitions or (),  # type: ignore[attr-defined]
        {"v": value},
        hide_suggestions=not suggesting,
    )
    return found if isinstance(found, list) else []


def of_document(schema: GraphQLSchema, text: str, *, suggesting: bool) -> list[GraphQLError]:
    try:
        document = parse(text)
    except GraphQLError as error:
        return [error]
    return validate(schema, document, specified_rules, hide_suggestions=not suggesting)


def literal(value: Any, text: str) -> str:
    """The value as a document has it, with a literal in the place of its canary."""
    if isinstance(value, dict):
        named = {name if name.isidentifier() else "unknown": literal(inner, text) for name, inner in value.items()}
        return "{" + ", ".join(f"{name}: {inner}" for name, inner in named.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(literal(inner, text) for inner in value) + "]"
    return "null" if value is None else text


@pytest.mark.parametrize("canary", TRICKY)
def test_no_value_of_a_variable_is_told_back_for_any_type(
    graphql_schema: GraphQLSchema, suggesting: bool, canary: str
) -> None:
    errors = 0
    for kind in types_of(graphql_schema):
        for written in (kind.name, f"{kind.name}!", f"[{kind.name}!]!"):
            for value in values_for(kind, canary):
                for error in of_variables(graphql_schema, written, value, suggesting=suggesting):
                    errors += 1
                    told = without_values(error)
                    assert "canary" not in told, error.message
                    assert told.startswith("Variable '$v' has invalid value")
                    assert MISFIT not in told, error.message
    assert errors > 500


@pytest.mark.parametrize("text", LITERALS)
def test_no_literal_of_a_document_is_told_back_for_any_type(
    graphql_schema: GraphQLSchema, suggesting: bool, text: str
) -> None:
    errors = 0
    for kind in types_of(graphql_schema):
        for value in values_for(kind, CANARY):
            written = f"query($v: {kind.name} = {literal(value, text)}) {{ __typename @skip(if: {text}) }}"
            for error in of_document(graphql_schema, written, suggesting=suggesting):
                errors += 1
                assert "canary" not in without_values(error), error.message
                assert without_values(error) != MISFIT, error.message
    assert errors > 500


@pytest.mark.parametrize(
    "text",
    [
        "mutation { signIn(%s) }",
        "{ %s }",
        "query %s { a }",
        "%s",
        "{ a(b: %s c) }",
        "{ a(b: {%s: 1}) }",
        "{ a(b: 1) } %s",
        "query($a: Int = %s %s) { a }",
    ],
)
@pytest.mark.parametrize("value", [*LITERALS, "1234567890.25", "987654321", '"hunter2\\qcanary"', '"\\u{canary}"'])
def test_a_syntax_error_does_not_tell_the_literal_that_it_meets(
    graphql_schema: GraphQLSchema, text: str, value: str
) -> None:
    for error in of_document(graphql_schema, text.replace("%s", value), suggesting=True):
        told = without_values(error)
        for word in ("canary", "1234567890", "987654321", "\\"):
            assert word not in told, error.message


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        ("SignInInput!", {"emial": CANARY, "password": CANARY}, "include required field 'email'."),
        (
            "SignInInput!",
            {"email": "a", "password": "b", "emial": CANARY},
            "unknown field 'emial'. Did you mean 'email'?",
        ),
        ("SignInInput!", CANARY, "Expected value of type 'SignInInput' to be an object."),
        (
            "SignInInput!",
            {"email": [CANARY], "password": "b"},
            "at .email: String cannot represent a non string value.",
        ),
        ("Role", "BUSINES", "does not exist in 'Role' enum. Did you mean the enum value 'BUSINESS'?"),
        ("Role", [CANARY], "Enum 'Role' cannot represent non-string value."),
        ("[Role!]!", ["USER", None], "at [1]: Expected value of non-null type 'Role!' not to be null."),
        ("DateTime", CANARY, "Value cannot represent a DateTime."),
        ("Int", 2**40, "Int cannot represent non 32-bit signed integer value."),
        ("SignInInput!", {"a b": CANARY, "email": "a", "password": "b"}, "not to include an unknown field."),
    ],
)
def test_what_is_useful_is_kept(graphql_schema: GraphQLSchema, kind: str, value: Any, told: str) -> None:
    messages = [without_values(error) for error in of_variables(graphql_schema, kind, value, suggesting=True)]
    assert any(message.endswith(told) for message in messages), messages


def test_words_that_are_not_known_are_not_passed_on_where_they_are_about_a_value(
    graphql_schema: GraphQLSchema,
) -> None:
    of_argument = GraphQLError(f"Argument 'first' has invalid value: New words of an upgrade: {CANARY}")
    assert without_values(of_argument) == f"Argument 'first' has invalid value: {MISFIT}"
    (operation,) = parse(f'query($v: ID = "{CANARY}") {{ __typename }}').definitions
    node = operation.variable_definitions[0].default_value  # type: ignore[attr-defined]
    assert without_values(GraphQLError(f"New words: {CANARY}", node)) == MISFIT
    other = "Cannot query field 'docment' on type 'Viewer'. Did you mean 'documents'?"
    assert without_values(GraphQLError(other)) == other


async def told_everywhere(person: Person, query: str, variables: dict[str, Any]) -> list[str]:
    """What each transport answers, to the letter."""
    product, payload = person.product, {"query": query, "variables": variables}
    url, headers = f"{product.url}/graphql", {"Authorization": f"Bearer {person.token}"}
    texts = [json.dumps((await send(product, person.token, form(_operations(payload), file_map({})))).body)]
    for accept in ("application/json", "application/graphql-response+json", SSE):
        async with product.http.post(url, json=payload, headers=headers | {"Accept": accept}) as response:
            texts.append(await response.text())
    if not query.startswith("mutation"):
        given = {"query": query, "variables": json.dumps(variables)}
        async with product.http.get(url, params=given, headers=headers) as response:
            texts.append(await response.text())
    async with product.socket(person.token) as socket:
        await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
        texts.append((await socket.receive()).data)
    return texts


def _operations(payload: dict[str, Any]) -> Part:
    return Part("operations", json.dumps(payload).encode())


@pytest.mark.parametrize(
    ("query", "variables", "useful"),
    [
        (SIGN_IN, {"i": {"emial": "a@b.example", "password": CANARY}}, "email"),
        (f'mutation {{ signIn(input: {{emial: "x", password: "{CANARY}"}}) {{ __typename }} }}', {}, "email"),
        (f'mutation {{ signIn(input: {{email: "x", password: "{CANARY}" "{CANARY}"}}) {{ a }} }}', {}, "String"),
        (f'{{ viewer {{ documents(first: "{CANARY}") {{ nodes {{ id }} }} }} }}', {}, "Int"),
        ("query($n: Int) { viewer { documents(first: $n) { nodes { id } } } }", {"n": CANARY}, "Int"),
        ("subscription($id: ID!) { documentProgress(id: $id) { status } }", {"id": {"a": CANARY}}, "ID"),
    ],
)
async def test_a_password_in_the_wrong_place_comes_back_on_no_transport(
    product: Product, query: str, variables: dict[str, Any], useful: str
) -> None:
    person = await product.sign_up()
    for text in await told_everywhere(person, query, variables):
        assert CANARY not in text
        assert "errors" in text or "payload" in text
        if "stream" not in text:  # a subscription by POST is refused before its variables are looked at
            assert useful in text, text


@pytest.mark.parametrize(
    "password", ["correct horse hunter2canary", '"my" hunter2canary 1', "'hunter2canary'", "hunter2canary 7"]
)
async def test_no_word_of_a_password_without_quotes_is_told_back(product: Product, password: str) -> None:
    query = f'mutation {{ signIn(input: {{email: "a@b.example", password: {password}}}) {{ __typename }} }}'
    async with product.http.post(f"{product.url}/graphql", json={"query": query}) as response:
        text = await response.text()
    assert "errors" in text
    assert "hunter2canary" not in text
