"""What a document and its variables may look like: each limit, from both sides, with one clear error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from core.settings import Settings
from hostile_documents import ATTACKS, HOSTILE_VARIABLES
from schema.limits.documents import Documents
from schema.limits.inputs import check_variables
from schema.limits.refusal import LimitExceededError
from schema.root import make_schema

SCHEMA = make_schema()
DEFAULTS = SCHEMA.settings


def _documents(introspection: bool = True, **limits: int) -> Documents:
    settings = DEFAULTS.model_copy(update={f"limit_{name}": value for name, value in limits.items()})
    return Documents(SCHEMA._schema, settings, introspection=introspection)


def _refusal(text: str, variables: Mapping[str, Any] | None = None, **limits: int) -> dict[str, Any]:
    with pytest.raises(LimitExceededError) as refused:
        _documents(**limits).open(text, None, variables)
    extensions = refused.value.extensions
    assert extensions is not None
    assert extensions["code"] == "LIMIT_EXCEEDED"
    for part in ("kind", "limit", "actual"):
        assert str(extensions[part]) in refused.value.message
    return extensions


PARENTS = "viewer { conversations { edges { node { "
BOUNDARIES = {
    # kind -> a document with exactly five of it
    "document_bytes": "{ a }",
    "tokens": "{ a b c }",
    "depth": "{ " + PARENTS + "messages { pageInfo { endCursor } } } } } } }",
    "aliases": "{ " + " ".join(f"a{n}: __typename" for n in range(5)) + " }",
    "directives": "query @a { viewer @b { user @c { id @d ... @e { name } } } }",
    "definitions": "{ viewer { user { ...A ...B ...C ...D } } } "
    + " ".join(f"fragment {n} on User {{ id }}" for n in "ABCD"),
    "operations": " ".join(f"query {n} {{ __typename }}" for n in "ABCDE"),
    "selections": "{ viewer { user { id ...F } } } fragment F on User { name }",
    "list_items": '{ nodes(ids: ["a" "b" "c" "d" "e"]) { id } }',
    "input_depth": "{ node(id: [[[[{a: 1}]]]]) { id } }",
    "input_digits": "{ viewer { conversations(first: 10000) { nodes { id } } } }",
}


@pytest.mark.parametrize("kind", BOUNDARIES)
def test_a_document_at_its_limit_passes_and_one_beyond_it_is_refused(kind: str) -> None:
    text = BOUNDARIES[kind]
    _documents(**{kind: 5}).open(text, None, None)
    extensions = _refusal(text, **{kind: 4})
    assert (extensions["kind"], extensions["limit"]) == (kind, 4)
    assert extensions["actual"] == ("more than 4" if kind in ("tokens", "input_depth") else 5)


def test_a_document_is_measured_in_bytes() -> None:
    assert _refusal("{ a } # é", document_bytes=9)["actual"] == 10


@pytest.mark.parametrize(
    ("text", "comparisons"),
    [
        ("{ viewer { user { id id id } } }", 3),
        ("{ viewer { user { id ... { id ... on User { id } } } } }", 3),
        ("{ viewer { user { id a: id id: name } } }", 1),
        ("{ viewer { user { id } } viewer { user { name } } }", 1),
    ],
)
def test_fields_of_one_name_at_one_place_are_counted_in_pairs(text: str, comparisons: int) -> None:
    extensions = _refusal(text, merges=comparisons - 1)
    assert (extensions["kind"], extensions["actual"]) == ("merges", comparisons)


def test_fields_that_meet_through_fragments_are_counted_while_they_are_compared() -> None:
    fragments = " ".join(f"fragment F{n} on User {{ id name }}" for n in range(20))
    text = "{ viewer { user { " + " ".join(f"...F{n}" for n in range(20)) + " } } } " + fragments
    assert _refusal(text, merges=100) == {
        "code": "LIMIT_EXCEEDED",
        "kind": "merges",
        "limit": 100,
        "actual": "more than 100",
    }
    assert not _documents().open(text, None, None).errors


def test_edges_and_node_do_not_count_as_depth() -> None:
    by_edges = "{ viewer { conversations { edges { node { messages { edges { node { text } } } } } } } }"
    by_nodes = "{ viewer { conversations { nodes { messages { nodes { text } } } } } }"
    assert not _documents(depth=4).open(by_edges, None, None).errors
    assert _refusal(by_nodes, depth=4)["actual"] == 6


def test_a_fragment_is_as_deep_as_where_it_is_spread() -> None:
    text = "{ viewer { ...V } } fragment V on Viewer { conversations { ...C } } fragment C on ConversationConnection {"
    text += " nodes { ... on Conversation { title } } }"
    assert _refusal(text, depth=3)["actual"] == 4


def test_every_operation_of_a_document_has_to_keep_to_the_depth() -> None:
    deep = "query B { viewer { conversations { nodes { owner { name } } } } }"
    with pytest.raises(LimitExceededError):
        _documents(depth=4).open("query A { __typename } " + deep, "A", None)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("a field again and again", {"selections", "merges"}),
        ("a field with fields again and again", {"merges"}),
        ("aliases", {"aliases"}),
        ("directives", {"directives"}),
        ("100 levels of fragments by 2", {"cost"}),
        ("each fragment uses all later ones", {"cost"}),
        ("pages in fragments in pages", {"depth"}),
        ("operations", {"definitions"}),
        ("a long list", {"list_items"}),
        ("a wide input", {"list_items"}),
        ("a deep list", {"nesting"}),
        ("a deep document", {"nesting"}),
        ("a huge number", {"input_digits"}),
        ("a huge string", {"document_bytes"}),
        ("introspection, 12 levels", {"introspection_depth"}),
        ("introspection, 15 times", {"introspection_cost"}),
        ("type definitions", {"definitions"}),
    ],
)
def test_an_attack_is_told_which_limit_it_has_met(name: str, kinds: set[str]) -> None:
    text = ATTACKS[name]()
    extra = "x" * 1_000 if name == "a huge string" else ""
    assert _refusal(text.replace('") {', extra + '") {'))["kind"] in kinds


def test_fragments_in_a_circle_are_refused_by_validation() -> None:
    text = "{ viewer { user { ...A } } } fragment A on User { ...B } fragment B on User { id ...A }"
    (error,) = _documents().open(text, None, None).errors
    assert error.message == "Cannot spread fragment 'A' within itself via 'B'."
    (error,) = _documents().open("{ viewer { user { ...A } } } fragment A on User { ...A }", None, None).errors
    assert "within itself" in error.message


@pytest.mark.parametrize("kind", HOSTILE_VARIABLES)
def test_hostile_variables_are_refused_wherever_they_are_hidden(kind: str) -> None:
    value = HOSTILE_VARIABLES[kind]()
    for variables in ({"a": value}, {"a": {"b": [1, {"c": value}]}}):
        with pytest.raises(LimitExceededError) as refused:
            check_variables(variables, DEFAULTS)
        assert refused.value.extensions is not None
        assert refused.value.extensions["kind"] == kind


def test_variables_at_their_limits_pass() -> None:
    deep: Any = "x"
    for _ in range(DEFAULTS.limit_input_depth):
        deep = [deep]
    check_variables(None, DEFAULTS)
    check_variables({"deep": deep, "long": [None] * 100, "number": -(10**31), "file": object()}, DEFAULTS)
    check_variables({"a": "x" * (DEFAULTS.limit_input_bytes - 1)}, DEFAULTS)
    check_variables({"a": "é" * (DEFAULTS.limit_input_bytes // 2 - 1)}, DEFAULTS)
    with pytest.raises(LimitExceededError):
        check_variables({"a": "é" * (DEFAULTS.limit_input_bytes // 2)}, DEFAULTS)


def test_a_lone_surrogate_is_measured_like_any_character() -> None:
    check_variables({"a": "\ud800"}, DEFAULTS)
    with pytest.raises(LimitExceededError):
        _documents(document_bytes=20).open('{ node(id: "\ud800\ud800\ud800") { id } }', None, None)


LIMITS = [name for name in Settings.model_fields if name.startswith(("limit_", "document_cache_"))]


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", ["0", "-1", "none", "1e400"])
def test_no_value_means_unlimited(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name.upper(), value)
    with pytest.raises(ValidationError, match=name):
        Settings()
