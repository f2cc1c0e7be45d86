"""Two columns of type are read one after the other, however a program has set them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from reading import assert_exact, read

import pdfs
from ingest.columns import in_reading_order
from ingest.layout import Line

Set = list[tuple[float, float, str]]

LEFT = [
    "Whoever borrows a book keeps it for",
    "four weeks and may renew it twice in",
    "that time, if nobody else has asked for",
    "it; new books may be kept for only two",
    "weeks. Newspapers are not lent, but may",
    "be copied at the desk on the first floor",
    "for ten cents a page. The reading docu-",
]
RIGHT = [
    "mentation of the harbour is in the cellar",
    "and may be seen on Tuesdays, when the",
    "archivist is there. Maps are laid out on",
    "the long table. Bags stay in the lockers,",
    "which need a coin. Dogs stay outside, but",
    "guide dogs do not, and there is a bowl of",
    "water for them beside the lift.",
]
WHOLE = (
    "Whoever borrows a book keeps it for four weeks and may renew it twice in that time, if nobody else has asked for "
    "it; new books may be kept for only two weeks. Newspapers are not lent, but may be copied at the desk on the first "
    "floor for ten cents a page. The reading documentation of the harbour is in the cellar and may be seen on "
    "Tuesdays, when the archivist is there. Maps are laid out on the long table. Bags stay in the lockers, which need "
    "a coin. Dogs stay outside, but guide dogs do not, and there is a bowl of water for them beside the lift."
)


def column(lines: list[str], x: float, y: float = 120) -> Set:
    return [(x, y + 13 * index, text) for index, text in enumerate(lines)]


ORDERS: dict[str, Callable[[Set, Set], Set]] = {
    "left, right": lambda left, right: left + right,
    "right, left": lambda left, right: right + left,
    "across": lambda left, right: [each for pair in zip(left, right, strict=True) for each in pair],
    "across, from the right": lambda left, right: [each for pair in zip(right, left, strict=True) for each in pair],
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
async def test_columns_are_read_one_after_the_other(
    stored: Callable[[bytes], Path], order: Callable[[Set, Set], Set]
) -> None:
    lines = order(column(LEFT, 72), column(RIGHT, 310))
    _, [page] = await read(stored(pdfs.typeset(*lines)))
    assert_exact(page)
    assert page.text == WHOLE


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
async def test_what_reaches_over_both_columns_divides_them(
    stored: Callable[[bytes], Path], order: Callable[[Set, Set], Set]
) -> None:
    title: Set = [(72, 90, "The rules of the Harbour Library in Basle, as they were decided on by all of us in March")]
    middle: Set = [(72, 240, "What follows are the rules for guests from other towns, who may come on Sundays, too.")]
    above = order(column(LEFT, 72), column(RIGHT, 310))
    below = order(column(LEFT[::-1], 72, 270), column(RIGHT[::-1], 310, 270))
    _, [page] = await read(stored(pdfs.typeset(*title, *above, *middle, *below)))
    text = " ".join(page.text.split())
    places = [text.index(words) for words in ("The rules of", "Whoever", "beside the lift", "What follows")]
    places += [text.rindex(words) for words in ("Whoever", "beside the lift")]
    assert places == sorted(places)
    assert text.endswith(RIGHT[0])


async def test_a_table_is_read_row_by_row(stored: Callable[[bytes], Path]) -> None:
    rows = [
        ("Chair of the association", "yes"),
        ("Treasurer", "yes, but not to the cellar"),
        ("Cook", "no"),
        ("Guest", "no"),
    ]
    lines = [
        each
        for n, (one, other) in enumerate(rows * 2)
        for each in ((72, 120 + 13 * n, one), (310, 120 + 13 * n, other))
    ]
    _, [page] = await read(stored(pdfs.typeset(*lines)))
    assert page.text.split("\n") == [f"{one}\t{other}" for one, other in rows * 2]


def line(text: str, x: float, y: float) -> Line:
    return Line(text, x, y - 10, x + 200, y + 2, 10, y, 0)


def test_cells_of_several_lines_stay_in_their_rows() -> None:
    lines = [
        line(f"{side} cell {row}, its line {part} of prose", x, 100 + 40 * row + 12 * part)
        for row in range(4)
        for side, x in (("left", 72), ("right", 300))
        for part in range(3)
    ]
    assert in_reading_order(lines) == lines


def test_no_line_is_lost_or_doubled() -> None:
    chance = random.Random(7)
    for _ in range(300):
        lines = [
            line("some words of a text", chance.choice((72, 72, 300, 300, 180)), chance.randrange(50, 800))
            for _ in range(chance.randrange(40))
        ]
        found = in_reading_order(lines)
        assert sorted(map(id, found)) == sorted(map(id, lines))
