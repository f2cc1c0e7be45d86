"""Arguments that many use cases take: page sizes, cursors, ids."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar
from uuid import UUID

from core.errors import RequestError
from core.ids import InvalidIdError, ListKind, NodeKind, parse_id, parse_message_cursor, parse_time_cursor
from datastores.pages import PageRequest
from resolvers.results import InvalidInput
from resolvers.texts import is_storable

MAX_PAGE = 100
DEFAULT_PAGE = 20
IDEMPOTENCY_KEY_CHARS = 200
T = TypeVar("T")


def forward_page(kind: ListKind, first: int | None, after: str | None) -> PageRequest:
    """A page over (timestamp, id). Raises `RequestError` for a size outside 1–100 or a cursor of another list."""
    return PageRequest(_size("first", first), after=_parsed(partial(parse_time_cursor, kind), after))


def message_page(
    conversation_id: UUID, first: int | None, after: str | None, last: int | None, before: str | None
) -> PageRequest:
    """A page over the numbers of a conversation's messages, forward or backward. Raises `RequestError`."""
    if first is not None and last is not None:
        raise RequestError.bad_input("Give `first` or `last`, not both.")
    backwards = last is not None
    return PageRequest(
        _size("last", last) if backwards else _size("first", first),
        after=_parsed(lambda text: (parse_message_cursor(conversation_id, text),), after),
        before=_parsed(lambda text: (parse_message_cursor(conversation_id, text),), before),
        backwards=backwards,
    )


def argument_id(kind: NodeKind, text: str) -> UUID:
    """An id given as a query's or subscription's argument. Raises `RequestError` when it is malformed."""
    try:
        return parse_id(kind, text)
    except InvalidIdError as error:
        raise RequestError.bad_input(str(error)) from None


def input_id(kind: NodeKind, text: str, field: str) -> UUID | InvalidInput:
    """An id given in a mutation's input: malformed ones are `InvalidInput`."""
    try:
        return parse_id(kind, text)
    except InvalidIdError as error:
        return InvalidInput(str(error), field)


def key_problem(idempotency_key: str | None) -> InvalidInput | None:
    """What is wrong with a mutation's idempotency key, if it has one."""
    if idempotency_key is None:
        return None
    if not 1 <= len(idempotency_key) <= IDEMPOTENCY_KEY_CHARS:
        return InvalidInput(f"A key has between 1 and {IDEMPOTENCY_KEY_CHARS} characters.", "idempotencyKey")
    if not is_storable(idempotency_key):
        return InvalidInput("The key contains characters that are not text.", "idempotencyKey")
    return None


def count(name: str, value: int, at_most: int = MAX_PAGE) -> int:
    """A number of things to return. Raises `RequestError` outside 1 to `at_most`."""
    if not 1 <= value <= at_most:
        raise RequestError.bad_input(f"`{name}` is {value}; it must be between 1 and {at_most}.")
    return value


def _size(name: str, value: int | None) -> int:
    return DEFAULT_PAGE if value is None else count(name, value)


def _parsed(parse: Callable[[str], T], text: str | None) -> T | None:
    if text is None:
        return None
    try:
        return parse(text)
    except InvalidIdError as error:
        raise RequestError.bad_input(str(error)) from None
