"""What operations cost, and what introspection may cost."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import get_introspection_query

from core.settings import Settings
from hostile_documents import ATTACKS, HONEST
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
VIEWER = 2
"""A field and an object."""
LIST = 2 + 200
"""A connection of the viewer's: a field, an object, and a statement of its own."""
MESSAGES = 2 + 10
"""Those of one conversation."""
RELATION = 2 + 4
SEARCH = 1 + 5_000


def node(fields: int) -> int:
    """One of `nodes`."""
    return 1 + 4 + fields


@pytest.mark.parametrize(
    ("selection", "cost"),
    [
        ("user { id name }", 2 + 2),
        ("user { ... on User { id } ...U __typename }", 2 + 3),
        ("conversations { nodes { id } }", LIST + 1 + 20 * 2),
        ("conversations(first: 30) { nodes { id title } }", LIST + 1 + 30 * 3),
        (
            "conversations(first: 30) { nodes { id } edges { cursor node { id } } pageInfo { endCursor } }",
            LIST + 1 + 30 * 2 + 1 + 30 * (1 + 1 + 2 + 1) + 2 + 1,
        ),
        ("conversations(first: 30) { ...C }", LIST + 1 + 30 * 2),
        ("conversations(first: 30) { nodes { owner { name } } }", LIST + 1 + 30 * (1 + RELATION + 1)),
        ("conversations(first: $a) { nodes { id } }", LIST + 1 + 40 * 2),
        ("conversations(first: $b) { nodes { id } }", LIST + 1 + 7 * 2),
        ("conversations(first: 1000000) { nodes { id } }", LIST + 1 + 100 * 2),
        ("conversations(first: -5) { nodes { id } }", LIST + 1 + 2),
        ("conversations(first: null) { nodes { id } }", LIST + 1 + 20 * 2),
        (
            "conversations(first: 10) { nodes { messages(last: 10) { nodes { id } } } }",
            LIST + 1 + 10 * (1 + MESSAGES + 1 + 10 * 2),
        ),
        (
            "conversations(first: $a) { nodes { messages(first: 3, last: $b) { nodes { id } } } }",
            LIST + 1 + 40 * (1 + MESSAGES + 1 + 7 * 2),
        ),
        (
            "conversations(first: 2) { nodes { messages { nodes { answer { citations { marker } } } } } }",
            LIST + 1 + 2 * (1 + MESSAGES + 1 + 20 * (1 + RELATION + 1 + 4 + 3 * 2)),
        ),
        ('passages(query: "x") { chunk { text } }', SEARCH + 5 * (1 + RELATION + 1)),
        ('passages(query: "x", first: 9) { page }', SEARCH + 9 * 2),
        ("documents(status: [READY, FAILED]) { nodes { contentUrl } }", LIST + 1 + 20 * (1 + 1 + 2)),
        ("documents(first: 1) { nodes { page(number: 1) { text } } }", LIST + 1 + 1 + MESSAGES + 1),
        (
            "documents(first: 1) { nodes { progress { document { progress { status } } } } }",
            LIST + 1 + 1 + 2 + 2 + 2 + 1,
        ),
    ],
)
def test_a_selection_costs_as_many_fields_as_it_may_complete(selection: str, cost: int) -> None:
    fragment = " fragment C on ConversationConnection { nodes { id } }" if "...C" in selection else ""
    fragment += " fragment U on User { name }" if "...U" in selection else ""
    variables = {"a": 40, "ids": ["x"] * 3}
    # The viewer itself, and three nodes.
    assert _cost(LISTS % selection + fragment, None, variables) == VIEWER + cost + 1 + 3 * node(1)


def test_ids_cost_by_their_number_in_the_document_or_in_a_variable() -> None:
    assert _cost('{ nodes(ids: ["a", "b"]) { id } }') == 1 + 2 * node(1)
    assert _cost("query($id: ID!) { nodes(ids: [$id, $id, $id]) { id } }", None, {"id": "x"}) == 1 + 3 * node(1)
    assert _cost("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", None, {"ids": ["x"] * 90}) == 1 + 90 * node(1)
    assert _cost("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", None, {"ids": "x"}) == 1 + node(1)


def test_a_mutation_costs_much_more_than_a_field() -> None:
    assert _cost('mutation { signIn(input: {email: "a", password: "b"}) { __typename } }') == 1_000 + 1 + 1


def test_a_few_searches_are_all_that_fit() -> None:
    def searches(number: int) -> str:
        found = " ".join(f'a{each}: passages(query: "x") {{ page }}' for each in range(number))
        return f"{{ viewer {{ {found} }} }}"

    assert _cost(searches(3)) < DEFAULTS.limit_cost
    with pytest.raises(LimitExceededError, match="cost"):
        _cost(searches(4))


def test_only_the_operation_that_is_asked_for_is_paid() -> None:
    text = "query A { viewer { user { id } } } query B($n: Int = 50) {"
    text += " viewer { conversations(first: $n) { nodes { id } } } }"
    assert _cost(text) == _cost(text, "A") == VIEWER + 2 + 1
    assert _cost(text, "B") == VIEWER + LIST + 1 + 50 * 2
    assert _cost(text, "C") == 0


def test_operations_have_their_own_defaults_for_a_fragment_that_they_share() -> None:
    text = "query A($n: Int = 5) { ...F } query B($n: Int = 50) { ...F } fragment F on Query {"
    text += " viewer { conversations(first: $n) { nodes { id } } } }"
    costs = (_cost(text, "A"), _cost(text, "B"), _cost(text, "A", {"n": 9}))
    assert costs == tuple(VIEWER + LIST + 1 + size * 2 for size in (5, 50, 9))


@pytest.mark.parametrize("value", [None, True, "100", [1], {"a": 1}, 1e308, -1e308, float("nan")])
def test_what_is_no_page_size_costs_like_a_page(value: Any) -> None:
    text = "query($n: Int) { viewer { conversations(first: $n) { nodes { id } } } }"
    assert VIEWER + LIST + 1 + 2 <= _cost(text, None, {"n": value}) <= VIEWER + LIST + 1 + 200


def test_a_page_of_a_thousand_nodes_passes() -> None:
    text = """{ viewer { conversations(first: 50) { nodes { id title messages(first: 20) { nodes {
      id role text createdAt author { name } } } } } } }"""
    assert 10_000 < _cost(text) < DEFAULTS.limit_cost
    ids = ["x"] * 100
    text = " ".join(f"a{each}: nodes(ids: $ids) {{ ...F }}" for each in range(10))
    text = (
        f"query($ids: [ID!]!) {{ {text} }} fragment F on Document {{ id name contentType byteSize status pageCount }}"
    )
    assert 10_000 < _cost(text, None, {"ids": ids}) < DEFAULTS.limit_cost
    assert _cost(HONEST, None, {"id": "x"}) < DEFAULTS.limit_cost


def test_fields_of_objects_in_lists_are_what_makes_an_operation_expensive() -> None:
    """1,432 bytes that took two seconds of CPU time, while only objects were counted."""
    inner = "id name contentUrl"
    for _ in range(5):
        inner = f"id name contentType byteSize contentUrl progress {{ status chunksDone document {{ {inner} }} }}"
    text = " ".join(f"a{each}: nodes(ids: $i) {{ ...F }}" for each in range(9))
    text = f"query($i: [ID!]!) {{ {text} }} fragment F on Document {{ {inner} }}"
    assert len(text) < 1_432
    with pytest.raises(LimitExceededError, match="cost"):
        _cost(text, None, {"i": ["x"] * 100})


def test_pages_of_pages_of_pages_are_refused_also_by_variable_on_a_document_that_is_known() -> None:
    text = """query($n: Int) { viewer { conversations(first: $n) { nodes { messages(first: $n) { nodes {
      conversation { messages(first: $n) { nodes { id } } } } } } } } }"""

    def cost(size: int) -> int:
        page = MESSAGES + 1
        inner = RELATION + page + size * 2
        return VIEWER + LIST + 1 + size * (1 + page + size * (1 + inner))

    documents = Documents(SCHEMA._schema, DEFAULTS, introspection=True)
    assert documents.open(text, None, {"n": 5}).cost == cost(5)
    assert text in documents
    with pytest.raises(LimitExceededError) as refused:
        documents.open(text, None, {"n": 100})
    assert refused.value.extensions == {
        "code": "LIMIT_EXCEEDED",
        "kind": "cost",
        "limit": DEFAULTS.limit_cost,
        "actual": cost(100),
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
    owners = (RELATION + 1) * sum(2 * 2**level for level in range(levels))
    assert refused.value.extensions["actual"] == VIEWER + LIST + 1 + 20 * (1 + owners + 2**levels)


def test_a_cost_beyond_what_json_can_tell_is_more_than_the_limit() -> None:
    with pytest.raises(LimitExceededError) as refused:
        _cost(ATTACKS["100 levels of fragments by 2"]())
    assert refused.value.extensions is not None
    assert refused.value.extensions["actual"] == f"more than {DEFAULTS.limit_cost}"


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
    assert _cost(hidden) == VIEWER + 3 + 1 + 100 * 7
    with pytest.raises(LimitExceededError, match="introspection_cost"):
        _cost(hidden, introspection_cost=700)


def test_the_settings_of_an_environment_are_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMIT_COST", "3")
    schema = make_schema(settings=Settings())
    with pytest.raises(LimitExceededError):
        schema.documents.open('{ nodes(ids: ["a" "b" "c" "d"]) { id } }', None, None)
