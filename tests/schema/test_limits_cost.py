"""What operations cost, and what introspection may cost."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import get_introspection_query

from core.settings import Settings
from hostile_documents import HONEST
from schema.limits.documents import Documents
from schema.limits.refusal import LimitExceededError
from schema.root import make_schema

SCHEMA = make_schema()
DEFAULTS = SCHEMA.settings
INTROSPECTION = get_introspection_query(
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
    experimental_directive_deprecation=True,
    one_of=True,
)


def _cost(text: str, operation: str | None = None, variables: dict[str, Any] | None = None, **limits: int) -> int:
    settings = DEFAULTS.model_copy(update={f"limit_{name}": value for name, value in limits.items()})
    opened = Documents(SCHEMA._schema, settings, introspection=True).open(text, operation, variables)
    assert not any("introspection" in error.message.lower() for error in opened.errors)
    return opened.cost


LISTS = "query($a: Int, $b: Int = 7, $ids: [ID!]!) { viewer { %s } nodes(ids: $ids) { id } }"


@pytest.mark.parametrize(
    ("selection", "cost"),
    [
        ("user { id name }", 1),
        ("conversations { nodes { id } }", 20),
        ("conversations(first: 30) { nodes { id } }", 30),
        ("conversations(first: 30) { nodes { id } edges { cursor node { id } } pageInfo { endCursor } }", 60),
        ("conversations(first: 30) { ...C }", 30),
        ("conversations(first: 30) { nodes { owner { name } } }", 60),
        ("conversations(first: $a) { nodes { id } }", 40),
        ("conversations(first: $b) { nodes { id } }", 7),
        ("conversations(first: 1000000) { nodes { id } }", 100),
        ("conversations(first: -5) { nodes { id } }", 1),
        ("conversations(first: null) { nodes { id } }", 20),
        ("conversations(first: 10) { nodes { messages(last: 10) { nodes { id } } } }", 110),
        ("conversations(first: $a) { nodes { messages(first: 3, last: $b) { nodes { id } } } }", 40 + 40 * 7),
        ("conversations(first: 10) { nodes { messages { nodes { answer { citations { marker } } } } } }", 10 + 200 * 5),
        ('passages(query: "x") { chunk { text } }', 10),
        ('passages(query: "x", first: 9) { chunk { text } }', 18),
        ("documents(status: [READY, FAILED]) { nodes { id } }", 20),
    ],
)
def test_a_selection_costs_as_many_objects_as_it_may_make(selection: str, cost: int) -> None:
    fragment = " fragment C on ConversationConnection { nodes { id } }" if "...C" in selection else ""
    variables = {"a": 40, "ids": ["x"] * 3}
    # The viewer itself, and three nodes.
    assert _cost(LISTS % selection + fragment, None, variables) == 1 + cost + 3


def test_ids_cost_by_their_number_in_the_document_or_in_a_variable() -> None:
    assert _cost('{ nodes(ids: ["a", "b"]) { id } }') == 2
    assert _cost("query($id: ID!) { nodes(ids: [$id, $id, $id]) { id } }", None, {"id": "x"}) == 3
    assert _cost("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", None, {"ids": ["x"] * 90}) == 90
    assert _cost("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", None, {"ids": "x"}) == 1


def test_a_mutation_costs_more_than_an_object() -> None:
    assert _cost('mutation { signIn(input: {email: "a", password: "b"}) { __typename } }') == 10


def test_only_the_operation_that_is_asked_for_is_paid() -> None:
    text = "query A { viewer { user { id } } } query B($n: Int = 50) {"
    text += " viewer { conversations(first: $n) { nodes { id } } } }"
    assert _cost(text) == _cost(text, "A") == 2
    assert _cost(text, "B") == 51
    assert _cost(text, "C") == 0


def test_operations_have_their_own_defaults_for_a_fragment_that_they_share() -> None:
    text = "query A($n: Int = 5) { ...F } query B($n: Int = 50) { ...F } fragment F on Query {"
    text += " viewer { conversations(first: $n) { nodes { id } } } }"
    assert (_cost(text, "A"), _cost(text, "B"), _cost(text, "A", {"n": 9})) == (6, 51, 10)


@pytest.mark.parametrize("value", [None, True, "100", [1], {"a": 1}, 1e308, -1e308, float("nan")])
def test_what_is_no_page_size_costs_like_a_page(value: Any) -> None:
    text = "query($n: Int) { viewer { conversations(first: $n) { nodes { id } } } }"
    assert 2 <= _cost(text, None, {"n": value}) <= 101


def test_a_page_of_a_thousand_nodes_with_what_is_shown_of_them_passes() -> None:
    text = """{ viewer { conversations(first: 50) { nodes { id title messages(first: 20) { nodes { id role text
      author { name } answer { id status usage { totalMs } citations { marker quote } } } } } } } }"""
    assert 1_000 < _cost(text) < DEFAULTS.limit_cost
    assert _cost(HONEST, None, {"id": "x"}) < DEFAULTS.limit_cost


def test_pages_of_pages_of_pages_are_refused_also_by_variable_on_a_document_that_is_known() -> None:
    text = """query($n: Int) { viewer { conversations(first: $n) { nodes { messages(first: $n) { nodes {
      conversation { messages(first: $n) { nodes { id } } } } } } } } }"""
    documents = Documents(SCHEMA._schema, DEFAULTS, introspection=True)
    assert documents.open(text, None, {"n": 5}).cost == 1 + 5 + 25 + 25 + 125
    assert text in documents
    with pytest.raises(LimitExceededError) as refused:
        documents.open(text, None, {"n": 100})
    assert refused.value.extensions == {
        "code": "LIMIT_EXCEEDED",
        "kind": "cost",
        "limit": DEFAULTS.limit_cost,
        "actual": 1 + 100 + 10_000 + 10_000 + 1_000_000,
    }


def test_fragments_that_double_the_cost_at_each_level_are_counted_without_being_walked() -> None:
    levels = 14
    text = "{ viewer { conversations { nodes { ...F0 } } } } "
    for level in range(levels):
        text += f"fragment F{level} on Conversation {{ ...G{level} ...H{level} }} "
        for name in "GH":
            text += f"fragment {name}{level} on Conversation {{ owner {{ id }} ...F{level + 1} }} "
    text += f"fragment F{levels} on Conversation {{ id }}"
    with pytest.raises(LimitExceededError) as refused:
        Documents(SCHEMA._schema, DEFAULTS, introspection=True).open(text, None, None)
    assert refused.value.extensions is not None
    assert refused.value.extensions["actual"] == 1 + 20 * (1 + sum(2 * 2**level for level in range(levels)))


def test_introspection_has_a_budget_of_its_own() -> None:
    assert _cost(INTROSPECTION, cost=1, depth=1) > 1
    assert _cost("{ __schema { queryType { name } } __typename }", cost=1, depth=1) == 2
    for limit in ("introspection_cost", "introspection_depth"):
        with pytest.raises(LimitExceededError, match=limit):
            _cost(INTROSPECTION, **{limit: 10})


def test_introspection_in_an_ordinary_operation_counts_in_both() -> None:
    mixed = INTROSPECTION.replace("__schema {", "viewer { user { id } } __schema {", 1)
    with pytest.raises(LimitExceededError) as refused:
        _cost(mixed)
    assert refused.value.extensions is not None
    assert refused.value.extensions["kind"] == "cost"
    with pytest.raises(LimitExceededError, match="introspection_cost"):
        _cost(mixed, cost=10**9, introspection_cost=10)
    hidden = "{ viewer { user { id } } ...S } fragment S on Query { ... { __schema { types { fields { name } } } } }"
    assert _cost(hidden) == 2 + 1 + 100 * 7
    with pytest.raises(LimitExceededError, match="introspection_cost"):
        _cost(hidden, introspection_cost=700)


def test_the_settings_of_an_environment_are_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMIT_COST", "3")
    schema = make_schema(settings=Settings())
    with pytest.raises(LimitExceededError):
        schema.documents.open('{ nodes(ids: ["a" "b" "c" "d"]) { id } }', None, None)
