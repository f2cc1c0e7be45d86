"""Values of scalars and enums: only what graphql-core would leave as it is, or coerce by its type alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from graphql import GraphQLEnumType, GraphQLLeafType, GraphQLScalarType
from graphql.pyutils import Undefined

from schema.rendering.errors import UnrenderableError

Project = Callable[[Any], Any]
"""From a value to what stands for it in the result. Raises `UnrenderableError`, or whatever the value does."""
_INT_LIMIT: Final = 2**31


def _int(value: Any) -> int:
    if type(value) is int and -_INT_LIMIT <= value < _INT_LIMIT:
        return value
    raise UnrenderableError


def _float(value: Any) -> float:
    if type(value) is float and value - value == 0.0:  # finite
        return value
    raise UnrenderableError


def _string(value: Any) -> str:
    if type(value) is str:
        return value
    raise UnrenderableError


def _boolean(value: Any) -> bool:
    if value is True or value is False:
        return value is True
    raise UnrenderableError


_BUILT_IN: Final[dict[str, Project]] = {
    "Int": _int,
    "Float": _float,
    "String": _string,
    "ID": _string,
    "Boolean": _boolean,
}


def leaf(leaf_type: GraphQLLeafType) -> Project:
    """The projection of a scalar or an enum."""
    if isinstance(leaf_type, GraphQLScalarType) and leaf_type.name in _BUILT_IN:
        return _BUILT_IN[leaf_type.name]
    assert isinstance(leaf_type, GraphQLScalarType | GraphQLEnumType)
    coerce = leaf_type.coerce_output_value

    def coerced(value: Any) -> Any:
        result = coerce(value)
        if result is None or result is Undefined:
            raise UnrenderableError
        return result

    return coerced
