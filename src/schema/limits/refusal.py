"""The one error of a request that is beyond a limit."""

from __future__ import annotations

import enum

from graphql.validation.validate import ValidationAbortedError

from core.errors import RequestErrorCode


class Limit(enum.Enum):
    """What is limited. The name is `extensions.kind` in capitals, the value says what was found."""

    DOCUMENT_BYTES = "The document has {actual} bytes"
    TOKENS = "The document has {actual} tokens and comments"
    NESTING = "The document is nested {actual} levels deep"
    DEFINITIONS = "The document has {actual} operations and fragments"
    OPERATIONS = "The document has {actual} operations"
    SELECTIONS = "The document has {actual} fields and fragments"
    ALIASES = "The document has {actual} aliases"
    DIRECTIVES = "The document has {actual} directives"
    MERGES = "Fields of the same name take {actual} comparisons to merge"
    FRAGMENT_WORK = "The operations use fragments and variables {actual} times"
    DEPTH = "An operation is {actual} fields deep"
    INTROSPECTION_DEPTH = "An introspection is {actual} fields deep"
    COST = "The operation costs {actual}"
    INTROSPECTION_COST = "The introspection costs {actual}"
    LIST_ITEMS = "A list or an input object has {actual} items"
    INPUT_DEPTH = "An input is nested {actual} levels deep"
    INPUT_BYTES = "The variables have {actual} bytes"
    EXTENSION_BYTES = "The extensions have {actual} bytes"
    INPUT_VALUES = "The request has {actual} values"
    INPUT_DIGITS = "A number has {actual} digits"
    RESPONSE_BYTES = "The response has {actual} bytes"
    SOCKET_OPERATIONS = "The socket has {actual} operations at once"


MOST_TOLD = 2**53
"""JSON has no larger integers, and fragments that double a cost a hundred times make them."""


class LimitExceededError(ValidationAbortedError):
    """A document, an operation or its variables are beyond a limit; nothing has been executed.

    It is raised while the document is measured, and by a rule in the midst of validation, which ends with it.
    `actual` is a number, or "more than …" where it was not worth counting on.
    """

    def __init__(self, limit: Limit, allowed: int, actual: int | None = None) -> None:
        self.limit, self.allowed, self.actual = limit, allowed, actual
        found = f"more than {allowed}" if actual is None else actual
        super().__init__(
            f"{limit.value.format(actual=found)}; the limit is {allowed} ({limit.name.lower()}).",
            extensions={
                "code": RequestErrorCode.LIMIT_EXCEEDED.value,
                "kind": limit.name.lower(),
                "limit": allowed,
                "actual": found,
            },
        )


def hold(limit: Limit, allowed: int, actual: int) -> None:
    """Raises `LimitExceededError` when `actual` is more than is allowed."""
    if actual > allowed:
        raise LimitExceededError(limit, allowed, actual if actual <= MOST_TOLD else None)
