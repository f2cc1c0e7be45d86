"""The table of permissions names the whole schema, and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from graphql import GraphQLInterfaceType, GraphQLObjectType, build_schema

from app.permissions import permissions_page
from resolvers.permissions import SIGNED_IN, Operation
from resolvers.visibility import VISIBILITY
from schema.root import print_schema

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = build_schema(print_schema())
ROOTS = ("Query", "Mutation", "Subscription", "Viewer")
FIELDS = {
    f"{name}.{field}": definition
    for name, kind in SCHEMA.type_map.items()
    if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType) and not name.startswith("__")
    for field, definition in kind.fields.items()
}


def test_every_field_of_the_schema_is_in_one_row_and_every_row_names_fields_of_the_schema() -> None:
    rows = Counter(operation.value.field for operation in Operation)
    rows.update(f"{name}.{field}" for row in VISIBILITY for name in row.types for field in row.fields)
    assert sorted(FIELDS.keys() - rows.keys()) == [], "in no row of resolvers.permissions or resolvers.visibility"
    assert sorted(rows.keys() - FIELDS.keys()) == [], "rows of fields that are not in the schema"
    assert [field for field, times in rows.items() if times > 1] == []


def test_operations_are_the_fields_of_the_roots_and_no_other() -> None:
    # Two members of an enum with equal values would be one: no row hides behind another.
    assert len(Operation) == len(Operation.__members__)
    assert {operation.value.field for operation in Operation} == {
        field for field in FIELDS if field.partition(".")[0] in ROOTS
    }


def test_an_operation_that_needs_a_role_says_so_in_the_schema() -> None:
    for operation in Operation:
        weakest = operation.value.weakest
        if weakest not in (None, SIGNED_IN):
            assert weakest.value in (FIELDS[operation.value.field].description or ""), operation.value.field


def test_mutations_name_what_they_act_on_and_other_operations_do_not() -> None:
    for operation in Operation:
        is_mutation = operation.value.field.startswith("Mutation.")
        assert (operation.value.acts_on is not None) is is_mutation, operation.value.field


def test_the_committed_page_is_the_code_s() -> None:
    page = (ROOT / "docs" / "permissions.md").read_text(encoding="utf-8")
    assert page == permissions_page(), "run `make permissions`"
