"""Keyset pagination: a page is found by the sort key of the row beside it, never by counting rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from datastores.transactions import Reads

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """`limit` rows after the key `after` (or, backwards, before `before`); keys are values of the sort columns."""

    limit: int
    after: tuple[Any, ...] | None = None
    before: tuple[Any, ...] | None = None
    backwards: bool = False


@dataclass(slots=True)
class Page(Generic[R]):
    """Rows in the list's order, and whether there are more on either side."""

    items: list[R]
    has_next: bool
    has_previous: bool


async def keyset_page(
    reads: Reads,
    record: type[R],
    statement: sa.Select[Any],
    keys: Sequence[sa.ColumnElement[Any]],
    request: PageRequest,
    *,
    descending: bool,
) -> Page[R]:
    """One page of `statement`, ordered by `keys` (all ascending or all descending; together unique)."""
    rows = await reads.records(record, narrow(statement, keys, request, descending=descending))
    return page_of(rows, request)


def narrow(
    statement: sa.Select[Any], keys: Sequence[sa.ColumnElement[Any]], request: PageRequest, *, descending: bool
) -> sa.Select[Any]:
    """The statement cut to the requested page plus one row, which tells whether there are more."""
    key = sa.tuple_(*keys)
    if request.after is not None:
        after = sa.tuple_(*map(sa.literal, request.after))
        statement = statement.where(key < after if descending else key > after)
    if request.before is not None:
        before = sa.tuple_(*map(sa.literal, request.before))
        statement = statement.where(key > before if descending else key < before)
    falling = descending is not request.backwards
    return statement.order_by(*(column.desc() if falling else column.asc() for column in keys)).limit(request.limit + 1)


def page_of(rows: list[R], request: PageRequest) -> Page[R]:
    """The page in the list's order, from the rows that `narrow` selected."""
    more = len(rows) > request.limit
    items = rows[: request.limit]
    if request.backwards:
        items.reverse()
        return Page(items, has_next=request.before is not None, has_previous=more)
    return Page(items, has_next=more, has_previous=request.after is not None)
