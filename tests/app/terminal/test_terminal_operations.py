"""The client's documents against the schema that this repository publishes."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

from app.terminal import operations

PUBLISHED = Path(__file__).parents[3] / "schema.graphql"
DOCUMENTS = {name: text for name, text in vars(operations).items() if name.isupper()}


@pytest.fixture(scope="module")
def published() -> GraphQLSchema:
    if not PUBLISHED.exists():
        pytest.skip("schema.graphql has not been exported yet")
    return build_schema(PUBLISHED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_operation_is_valid_in_the_published_schema(published: GraphQLSchema, name: str) -> None:
    assert validate(published, parse(DOCUMENTS[name])) == []
