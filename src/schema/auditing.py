"""Every mutation goes to the audit log: put around all of them at once, so that a new one is, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import isawaitable
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    get_named_type,
)

from core.ids import InvalidIdError, parse_global
from resolvers.audit_trail import AuditTrail
from resolvers.auditing import audited
from resolvers.context import Context

MOST_IDS = 100
"""Of one mutation."""
_FACTS = ("Int", "Float", "Boolean")
"""Scalars that neither are secret nor say what somebody wrote."""


def audit_mutations(mutations: GraphQLObjectType) -> None:
    """Have every field of this type audited."""
    for name, field in mutations.fields.items():
        field.resolve = _audited(name, field)


def _audited(name: str, field: GraphQLField) -> Any:
    resolve = field.resolve
    assert resolve is not None, "a mutation has a resolver"

    async def resolve_audited(root: Any, info: GraphQLResolveInfo[Context], **arguments: Any) -> Any:
        async def mutation() -> Any:
            result = resolve(root, info, **arguments)
            return await result if isawaitable(result) else result

        trail = AuditTrail(name, details=dict(_facts(field.args, arguments)))
        for text in _ids(field.args, arguments):
            # Only what is an id of ours: anything else that a client puts there stays out of the log.
            try:
                trail.names(*parse_global(text))
            except InvalidIdError:
                continue
        return await audited(info.context, trail, mutation)

    resolve_audited.audited = True  # type: ignore[attr-defined]
    return resolve_audited


def _leaves(fields: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Name, type and value of all that is not an input object, at whatever depth."""
    for name, field in fields.items():
        kind = get_named_type(field.type)
        value = values.get(field.out_name or name)
        for one in value if isinstance(value, list) else (value,):
            if isinstance(kind, GraphQLInputObjectType) and isinstance(one, Mapping):
                yield from _leaves(kind.fields, one)
            elif one is not None:
                yield name, kind, one


def _ids(fields: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    return [value for _, kind, value in _leaves(fields, values) if kind.name == "ID"][:MOST_IDS]


def _facts(fields: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, kind, value in _leaves(fields, values):
        if isinstance(kind, GraphQLEnumType):
            yield name, getattr(value, "value", value)
        elif kind.name in _FACTS:
            yield name, value
