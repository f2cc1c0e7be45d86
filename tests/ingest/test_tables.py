"""Tables of a PDF stay rows, in whichever order a program has set their cells."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pymupdf
from reading import assert_exact, read

import pdfs
from answers.quotes import best_quote
from ingest.chunks import chunk_page
from ingest.layout import Line
from ingest.tables import in_rows

Stored = Callable[[bytes], Path]
WHO = "Everybody who lives in the town of Basle or works here, and whose age is over"


def drawn(markup: str) -> bytes:
    """HTML, laid out on a page."""
    buffer = io.BytesIO()
    writer = pymupdf.DocumentWriter(buffer)
    story = pymupdf.Story(markup, user_css="td { padding: 3pt; border-bottom: 1pt solid black }")
    device = writer.begin_page(pymupdf.paper_rect("a4"))
    story.place(pymupdf.Rect(60, 60, 400, 700))
    story.draw(device)
    writer.end_page()
    writer.close()
    return buffer.getvalue()


async def test_cells_of_several_lines_are_one_row_and_quoted_whole(stored: Stored) -> None:
    rows = "".join(f"<tr><td>Card {n}</td><td>{WHO} {n}</td><td>{n} euros</td></tr>" for n in range(3))
    _, [page] = await read(
        stored(
            drawn(f"<h2>Fees</h2><table><tr><th>Card</th><th>For</th><th>Price</th></tr>{rows}</table><p>After.</p>")
        )
    )
    assert_exact(page)
    expected = [f"Card {n}\t{WHO} {n}\t{n} euros" for n in range(3)]
    assert [line for line in page.text.split("\n") if line] == ["Fees", "Card\tFor\tPrice", *expected, "After."]
    [span] = chunk_page(page.text)
    claim = "Whoever works in Basle and whose age is over 2 pays 2 euros."
    assert best_quote([page.text[span.start : span.end]], claim) == (0, expected[2])


async def test_a_table_that_was_set_column_by_column_is_read_row_by_row(stored: Stored) -> None:
    columns = (
        (72, ["Role", "Chair", "Cook", "Guest"]),
        (200, ["Key", "yes", "no", "no"]),
        (300, ["Fee", "1", "2", "3"]),
    )
    lines = [(x, 100 + 14 * row, text) for x, column in columns for row, text in enumerate(column)]
    _, [page] = await read(stored(pdfs.typeset(*lines)))
    assert page.text == "Role\tKey\tFee\nChair\tyes\t1\nCook\tno\t2\nGuest\tno\t3"


def column(x: float, *texts: str, y: float = 100) -> list[Line]:
    return [
        Line(text, x, y + 12 * n - 10, x + 5 * len(text), y + 12 * n + 2, 10, y + 12 * n, 0)
        for n, text in enumerate(texts)
    ]


def test_prose_beside_prose_is_no_table() -> None:
    prose = [
        "a line of prose that is as long as prose is",
        "and a second one, which is no shorter at all",
        "and a third",
    ]
    lines = [*column(72, *prose), *column(320, *prose)]
    assert in_rows(lines) == lines
    lines = [*column(72, "Left", "heading"), *column(320, "Right", "heading")]
    assert in_rows(lines) == lines


def test_a_long_column_beside_a_row_stays_prose() -> None:
    lines = [*column(72, "One"), *column(300, "Two"), *column(72, *["x" * 40] * 9, y=130), *column(300, "Note", y=130)]
    assert in_rows(lines) == lines
