"""What is the same on all pages of a PDF, and what only looks like it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pymupdf
import pytest
from reading import assert_exact, read

import pdfs
from ingest.layout import Line
from ingest.running import PageLines, without_running

Stored = Callable[[bytes], Path]
Texts = list[tuple[float, float, str]]

TOPICS = [f"{topic.answer} {topic.detail}" for topic in pdfs.TOPICS]


def document(pages: int, edges: Callable[[int], Texts], body: Callable[[int], str] | None = None) -> bytes:
    """Pages of prose, numbered from 1, with texts at their x and baseline y besides; the page is 595 x 842 points."""
    made = pymupdf.open()
    for number in range(1, pages + 1):
        page = made.new_page(width=595, height=842)
        for x, y, text in edges(number):
            page.insert_text((x, y), text, fontsize=9)
        said = body(number) if body else TOPICS[number % len(TOPICS)]
        page.insert_textbox(pymupdf.Rect(72, 100, 523, 760), said, fontsize=11)
    return bytes(made.tobytes(garbage=3, deflate=True))


async def said(path: Path) -> list[str]:
    _, pages = await read(path)
    for page in pages:
        assert_exact(page)
    return [" ".join(page.text.split()) for page in pages]


def only_bodies(pages: int) -> list[str]:
    return [TOPICS[number % len(TOPICS)] for number in range(1, pages + 1)]


HEADERS: dict[str, Callable[[int], Texts]] = {
    "a title": lambda n: [(72, 50, "Manual of the Harbour Library")],
    "a title and a page number on one line": lambda n: [(72, 50, "Manual of the Harbour Library"), (500, 50, f"{n}")],
    "a page number that was set first": lambda n: [(500, 50, f"Page {n}"), (72, 50, "Harbour Library")],
    "page numbers below": lambda n: [(290, 800, f"- {n} -")],
    "page n of m": lambda n: [(480, 800, f"Page {n} of 12")],
    "an extract of a book": lambda n: [(290, 800, f"{n + 347}")],
    "roman numbers": lambda n: [
        (290, 800, ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"][n - 1])
    ],
    "left and right pages": lambda n: (
        [(72, 50, f"{n}"), (90, 50, "Harbour Library")] if n % 2 else [(400, 50, "The Rules"), (510, 50, f"{n}")]
    ),
    "two lines and a footer": lambda n: [
        *((72, 40, "Harbour Library"), (72, 52, "Confidential")),
        *((72, 790, "Plane Tree Square 12, Basle"), (72, 802, f"Printed in 2026, page {n}")),
    ],
}


@pytest.mark.parametrize("edges", HEADERS.values(), ids=HEADERS)
async def test_running_headers_and_footers_are_removed(stored: Stored, edges: Callable[[int], Texts]) -> None:
    assert await said(stored(document(12, edges))) == only_bodies(12)


async def test_chapters_have_headers_of_their_own_and_a_title_page_has_none(stored: Stored) -> None:
    made = document(13, lambda n: [] if n == 1 else [(72, 50, "On Loans" if n < 8 else "On Fines"), (290, 800, f"{n}")])
    assert await said(stored(made)) == only_bodies(13)


async def test_three_pages_are_enough_and_two_are_not(stored: Stored) -> None:
    def header(n: int) -> Texts:
        return [(72, 50, "Harbour Library")]

    assert await said(stored(document(3, header))) == only_bodies(3)
    assert await said(stored(document(2, header))) == [f"Harbour Library {text}" for text in only_bodies(2)]


async def test_a_heading_that_repeats_by_chance_is_kept(stored: Stored) -> None:
    made = document(3, lambda n: [(72, 50, "Summary" if n != 2 else "Findings")])
    assert [text.split()[0] for text in await said(stored(made))] == ["Summary", "Findings", "Summary"]
    made = document(9, lambda n: [(72, 50, "Summary" if n in (1, 2, 5, 8) else f"Chapter {'ABCDEFGHI'[n - 1]}")])
    assert [text.split()[0] for text in await said(stored(made))].count("Summary") == 4


KEPT: dict[str, Callable[[int], Texts]] = {
    "numbers that do not count pages": lambda n: [(72, 50, f"Invoice {n * n}")],
    "another place each time": lambda n: [(72, 50 + 7 * n, "Exercise")],
    "in the text": lambda n: [(72, 400, "And so it goes.")],
}


@pytest.mark.parametrize("edges", KEPT.values(), ids=KEPT)
async def test_what_only_looks_like_a_header_is_kept(stored: Stored, edges: Callable[[int], Texts]) -> None:
    pages = await said(stored(document(6, edges)))
    for number, text in enumerate(pages, 1):
        assert edges(number)[0][2] in text


async def test_a_first_line_of_the_text_is_no_header(stored: Stored) -> None:
    made = document(
        6, lambda n: [], lambda n: f"This is page {n} of the rules, and it goes on with a line.\n{TOPICS[n]}"
    )
    assert all(text.startswith("This is page") for text in await said(stored(made)))


async def test_a_slides_only_line_is_no_header(stored: Stored) -> None:
    assert await said(stored(pdfs.leaflets(5))) == [f"Ferry {n} leaves from pier {n}." for n in range(1, 6)]


async def test_a_table_that_goes_on_keeps_its_first_row(stored: Stored) -> None:
    def rows(n: int) -> Texts:
        return [
            (x, 60 + 13 * row, text)
            for row in range(20)
            for x, text in ((72, "Role" if not row else f"R{n}-{row}"), (200, "Key"))
        ]

    made = document(5, rows, lambda n: " ")
    assert all(text.startswith("Role Key R") for text in await said(stored(made)))


def test_pages_are_read_ahead_by_a_few_alone() -> None:
    asked = 0

    def pages() -> Iterator[PageLines]:
        nonlocal asked
        while True:
            asked += 1
            header = Line("Harbour Library", 72, 40, 200, 52, 9, 50, 0)
            yield PageLines(asked, 842, [header, Line(f"Text {asked}", 72, 390, 200, 402, 11, 400, 1)])

    found = list(islice(without_running(pages()), 100))
    assert [[line.text for line in page.lines] for page in found] == [[f"Text {n}"] for n in range(1, 101)]
    assert asked == 104
