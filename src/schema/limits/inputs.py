"""Limits on input values: literals in a document, and variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from graphql import FloatValueNode, IntValueNode, ListValueNode, ObjectValueNode, ValueNode

from core.settings import Settings
from schema.limits.refusal import Limit, LimitExceededError, hold

_NUMBER_BYTES = 8


def check_literals(values: Iterable[ValueNode], settings: Settings) -> None:
    """Refuse literals that are too long, too deep or too great. Raises `LimitExceededError`."""
    stack = [(value, 0) for value in values]
    while stack:
        value, depth = stack.pop()
        if isinstance(value, ListValueNode):
            inner: list[ValueNode] = list(value.values)
        elif isinstance(value, ObjectValueNode):
            inner = [field.value for field in value.fields]
        else:
            if isinstance(value, (IntValueNode, FloatValueNode)):
                hold(Limit.INPUT_DIGITS, settings.limit_input_digits, len(value.value))
            continue
        hold(Limit.LIST_ITEMS, settings.limit_list_items, len(inner))
        if depth >= settings.limit_input_depth:
            raise LimitExceededError(Limit.INPUT_DEPTH, settings.limit_input_depth)
        stack.extend((item, depth + 1) for item in inner)


def check_variables(variables: Mapping[str, object] | None, settings: Settings) -> None:
    """Refuse variables that are too long, too deep or too great. Raises `LimitExceededError`."""
    _check(variables or {}, settings, Limit.INPUT_BYTES)


def check_extensions(extensions: Mapping[str, object], settings: Settings) -> None:
    """Refuse a request's `extensions` by the limits of variables. Raises `LimitExceededError`."""
    _check(extensions, settings, Limit.EXTENSION_BYTES)


def _check(values: Mapping[str, object], settings: Settings, bytes_limit: Limit) -> None:
    """The set of values itself is no input, so its depth is 0; it may have as many members as a list. What is neither
    text, number, list nor object is a file of a multipart request, which has a limit of its own."""
    size = 0
    stack: list[tuple[object, int]] = [(values, 0)]
    while stack:
        value, depth = stack.pop()
        if isinstance(value, (Mapping, list)):
            hold(Limit.LIST_ITEMS, settings.limit_list_items, len(value))
            if depth > settings.limit_input_depth:
                raise LimitExceededError(Limit.INPUT_DEPTH, settings.limit_input_depth)
            if isinstance(value, Mapping):
                size += sum(_length(key) for key in value if isinstance(key, str))
                value = list(value.values())
            stack.extend((item, depth + 1) for item in value)
        elif isinstance(value, str):
            size += _length(value)
        else:
            size += _NUMBER_BYTES
            # Numbers with a fraction are floats by now, of eight bytes each.
            if isinstance(value, int) and value.bit_length() > settings.limit_input_digits * 3.33:
                raise LimitExceededError(Limit.INPUT_DIGITS, settings.limit_input_digits)
        if size > settings.limit_input_bytes:
            raise LimitExceededError(bytes_limit, settings.limit_input_bytes)


def _length(text: str) -> int:
    # A lone surrogate is refused later, with words of its own.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
