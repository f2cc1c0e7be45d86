"""Documents that have passed are parsed and validated once; nobody can drive them out with what is refused."""

from __future__ import annotations

import pytest
from graphql import DocumentNode, GraphQLError, GraphQLSyntaxError

from hostile_documents import ATTACKS, HONEST
from schema.limits.documents import MAX_VALIDATION_ERRORS, Documents
from schema.root import make_schema

SCHEMA = make_schema()


def _documents(*, introspection: bool = True, **settings: int) -> Documents:
    return Documents(SCHEMA._schema, SCHEMA.settings.model_copy(update=settings), introspection=introspection)


def _open(documents: Documents, text: str) -> DocumentNode:
    return documents.open(text, None, None).document


def test_a_document_is_parsed_and_validated_once() -> None:
    documents = _documents()
    assert _open(documents, HONEST) is _open(documents, HONEST)
    assert _open(documents, HONEST + " ") is not _open(documents, HONEST)


def test_the_least_recently_used_goes_first() -> None:
    documents = _documents(document_cache_entries=2)
    first, second, third = (f"{{ {name}: __typename }}" for name in "xyz")
    for text in (first, second, first, third):
        _open(documents, text)
    assert (first in documents, second in documents, third in documents, len(documents)) == (True, False, True, 2)


def test_memory_is_bounded_and_estimated_from_above() -> None:
    one = _documents()
    _open(one, HONEST)
    # 167 tokens; a parsed one takes 380 to 610 bytes.
    assert 167 * 610 < one.memory < 167 * 1_000
    documents = _documents(document_cache_bytes=3 * one.memory + 50)
    for number in range(10):
        _open(documents, HONEST + " " * (number % 5))
    assert len(documents) == 3
    assert documents.memory <= 3 * one.memory + 50


def test_a_document_greater_than_the_cache_is_served_and_not_kept() -> None:
    documents = _documents(document_cache_bytes=1_000)
    assert not documents.open(HONEST, None, None).errors
    assert (len(documents), documents.memory) == (0, 0)


def test_nothing_that_was_refused_is_kept() -> None:
    documents = _documents()
    _open(documents, HONEST)
    refused = 0
    for attack in ATTACKS.values():
        text = attack()
        try:
            refused += bool(documents.open(text, None, {}).errors)
        except GraphQLError:
            refused += 1
        else:
            continue
        assert text not in documents
    assert refused > 20
    with pytest.raises(GraphQLSyntaxError):
        _open(documents, "{")
    assert documents.open("{ nothing }", None, None).errors
    assert "{ nothing }" not in documents
    assert HONEST in documents


def test_a_document_full_of_mistakes_gets_a_few_errors() -> None:
    errors = _documents().open("{ " + " ".join(f"nope{n}" for n in range(50)) + " }", None, None).errors
    assert len(errors) == MAX_VALIDATION_ERRORS + 1
    assert "Too many validation errors" in errors[-1].message


@pytest.mark.parametrize("introspection", [True, False])
def test_names_are_suggested_only_where_the_schema_may_be_read(introspection: bool) -> None:
    documents = _documents(introspection=introspection)
    for text in (
        "{ viewr { user { id } } }",
        "query($r: Rol) { __typename @include(if: $r) }",
        "{ node(di: 1) { id } }",
    ):
        message = " ".join(error.message for error in documents.open(text, None, None).errors)
        assert ("Did you mean" in message) is introspection
    assert bool(documents.open("{ __schema { queryType { name } } }", None, None).errors) is not introspection


@pytest.mark.parametrize("introspection", [True, False])
async def test_variables_that_do_not_fit_suggest_nothing_either(introspection: bool) -> None:
    schema = make_schema(introspection=introspection)
    for text, variables in (
        ("query($s: [DocumentStatus!]) { viewer { documents(status: $s) { nodes { id } } } }", {"s": ["REDY"]}),
        ("mutation($i: SignInInput!) { signIn(input: $i) { __typename } }", {"i": {"emial": "x"}}),
    ):
        result = await schema.execute(text, variables)
        assert result.errors
        assert any("Did you mean" in error.message for error in result.errors) is introspection


def test_there_is_no_way_around_the_limits_without_a_loop() -> None:
    result = SCHEMA.execute_sync("{ __typename }")
    assert result.data is None
    assert result.errors
