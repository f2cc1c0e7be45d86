"""The published contract."""

from __future__ import annotations

from pathlib import Path

from graphql import GraphQLNonNull, GraphQLObjectType, GraphQLUnionType, build_schema, validate_schema

from schema.root import make_schema, print_schema

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_schema_is_the_code_s() -> None:
    assert (ROOT / "schema.graphql").read_text(encoding="utf-8") == print_schema(), "run `make schema`"


def test_the_schema_is_valid() -> None:
    assert validate_schema(build_schema(print_schema())) == []


def test_every_error_member_of_a_result_is_a_user_error() -> None:
    schema = build_schema(print_schema())
    assert schema.mutation_type is not None
    for name, field in schema.mutation_type.fields.items():
        assert isinstance(field.type, GraphQLNonNull)
        result = field.type.of_type
        payload = f"{name[0].upper()}{name[1:]}Payload"
        # What cannot be refused in words that a client could act on has its payload for a result.
        for member in result.types if isinstance(result, GraphQLUnionType) else (result,):
            implemented = [interface.name for interface in member.interfaces]
            assert member.name == payload or "UserError" in implemented, (name, member.name)


def test_every_event_of_an_answer_has_a_sequence_and_a_cursor() -> None:
    schema = build_schema(print_schema())
    union = schema.type_map["AnswerEvent"]
    assert isinstance(union, GraphQLUnionType)
    for member in union.types:
        assert isinstance(member, GraphQLObjectType)
        assert "StreamEvent" in [interface.name for interface in member.interfaces]


async def test_introspection_can_be_switched_off() -> None:
    schema = make_schema(introspection=False)
    result = await schema.execute("{ __schema { queryType { name } } }")
    assert result.errors is not None
    assert "introspection" in result.errors[0].message.lower()
