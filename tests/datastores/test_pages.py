"""Keyset pages: whatever the rows, pages in either direction make up the whole list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from core.ids import ListKind, TenantId, cursor_of_time, new_id, parse_time_cursor
from core.settings import Settings
from datastores.pages import Page, PageRequest, keyset_page
from datastores.postgres import Postgres

T = TypeVar("T")
Key = tuple[Any, ...]


@dataclass(frozen=True, order=True)
class Row:
    """A row of a list; its fields are the list's sort key."""

    at: datetime
    id: UUID


# Few distinct times, a microsecond apart, so that most rows tie with another.
TIMES = st.integers(0, 3).map(lambda n: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=n))
ROWS = st.lists(st.builds(Row, TIMES, st.uuids()), max_size=12, unique_by=lambda row: row.id)


class List:
    """Rows as a table that PostgreSQL sorts, and its whole content in the list's order."""

    def __init__(self, doors: Postgres, rows: list[Row], *, descending: bool) -> None:
        self.doors, self.descending = doors, descending
        self.whole = sorted(rows, reverse=descending)
        table = sa.values(sa.column("at", sa.DateTime(timezone=True)), sa.column("id", sa.Uuid()), name="list")
        listed = table.data([(row.at, row.id) for row in rows])
        self.keys = [listed.c.at, listed.c.id]
        self.statement = sa.select(listed.c.at, listed.c.id)

    async def page(self, request: PageRequest) -> Page[Row]:
        async with self.doors.read(TenantId(new_id())) as reads:
            return await keyset_page(reads, Row, self.statement, self.keys, request, descending=self.descending)


def through_a_cursor(row: Row) -> Key:
    """The key as a client gives it back."""
    return parse_time_cursor(ListKind.DOCUMENTS, cursor_of_time(ListKind.DOCUMENTS, row.at, row.id))


@pytest.fixture
def run(settings: Settings) -> Iterator[Callable[[Callable[[Postgres], Awaitable[T]]], T]]:
    """Runs a coroutine function on the doors, in one loop for all examples of a property."""
    with asyncio.Runner() as runner:
        doors = Postgres(settings)

        async def call(function: Callable[[Postgres], Awaitable[T]]) -> T:
            return await function(doors)

        yield lambda function: runner.run(call(function))
        runner.run(doors.aclose())


async def _forward(rows: List, size: int) -> None:
    seen: list[Row] = []
    after: Key | None = None
    while True:
        page = await rows.page(PageRequest(size, after=after))
        assert page.items == rows.whole[len(seen) : len(seen) + size]
        assert page.has_previous == bool(seen)
        seen += page.items
        assert page.has_next == (len(seen) < len(rows.whole))
        if not page.has_next:
            break
        after = through_a_cursor(page.items[-1])
    assert seen == rows.whole


async def _backward(rows: List, size: int) -> None:
    seen: list[Row] = []
    before: Key | None = None
    while True:
        page = await rows.page(PageRequest(size, before=before, backwards=True))
        end = len(rows.whole) - len(seen)
        assert page.items == rows.whole[max(0, end - size) : end]
        assert page.has_next == bool(seen)
        seen = page.items + seen
        assert page.has_previous == (len(seen) < len(rows.whole))
        if not page.has_previous:
            break
        before = through_a_cursor(page.items[0])
    assert seen == rows.whole


def test_pages_in_either_direction_make_up_the_whole_list(run: Callable[..., None]) -> None:
    @effort(max_examples=40, deadline=None)
    @given(rows=ROWS.filter(bool), size=st.integers(1, 5), descending=st.booleans())
    def law(rows: list[Row], size: int, descending: bool) -> None:
        async def check(doors: Postgres) -> None:
            await _forward(List(doors, rows, descending=descending), size)
            await _backward(List(doors, rows, descending=descending), size)

        run(check)

    law()


def test_a_page_between_two_keys_holds_only_what_is_between_them(run: Callable[..., None]) -> None:
    @effort(max_examples=40, deadline=None)
    @given(
        rows=ROWS.filter(lambda rows: len(rows) >= 2),
        data=st.data(),
        size=st.integers(1, 5),
        descending=st.booleans(),
        backwards=st.booleans(),
    )
    def law(rows: list[Row], data: st.DataObject, size: int, descending: bool, backwards: bool) -> None:
        async def check(doors: Postgres) -> None:
            listed = List(doors, rows, descending=descending)
            low = data.draw(st.integers(0, len(rows) - 2))
            high = data.draw(st.integers(low + 1, len(rows) - 1))
            between = listed.whole[low + 1 : high]
            bounds = {"after": through_a_cursor(listed.whole[low]), "before": through_a_cursor(listed.whole[high])}
            page = await listed.page(PageRequest(size, **bounds, backwards=backwards))
            assert page.items == (between[-size:] if backwards else between[:size])
            assert (page.has_previous if backwards else page.has_next) == (len(between) > size)

        run(check)

    law()


async def test_a_row_that_is_added_or_removed_between_two_pages_moves_no_other(settings: Settings) -> None:
    doors = Postgres(settings)
    rows = [Row(datetime(2026, 1, day, tzinfo=UTC), new_id()) for day in range(1, 7)]
    first = await List(doors, rows, descending=True).page(PageRequest(2))
    assert first.items == [rows[5], rows[4]]
    newer = Row(datetime(2026, 2, 1, tzinfo=UTC), new_id())
    changed = [newer, *rows[:4], rows[5]]  # one was added at the top, and the last one shown is gone
    second = await List(doors, changed, descending=True).page(PageRequest(2, after=through_a_cursor(first.items[-1])))
    assert second.items == [rows[3], rows[2]]
    await doors.aclose()
