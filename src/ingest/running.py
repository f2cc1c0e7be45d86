"""Running headers and footers: what a document's pages say again and again at their edges."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ingest.layout import Line


@dataclass(slots=True)
class PageLines:
    """A page before it is composed. `height` in points."""

    number: int
    height: float
    lines: list[Line]


_EDGE = 0.15
"""Of the page's height, at its top and at its bottom, is where a header or a footer may be."""
_BANDS = 3
"""A header has at most so many lines."""
_APART = 1.6
"""Times its size is the least distance from it to the text's nearest line: more than from line to line."""
_SAME_PLACE = 2.0  # points
_SAME_SIZE = 0.5  # points
_REACH = 4
"""Pages on each side that a page is held against: two of its own kind, where left and right pages differ."""
_RUNS = tuple((step * first, step * (first + 1), step * (first + 2)) for step in (1, 2) for first in (-2, -1, 0))
"""Three pages in a row, or three left ones, or three right ones; as distances from the page. Two may be by chance."""

_NUMBER = re.compile(r"\d{1,9}")
_ROMAN = re.compile(r"\W*([ivxlc]{1,8})\W*", re.IGNORECASE)
_ROMAN_DIGITS = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}


@dataclass(slots=True)
class _Band:
    """The lines that stand on one baseline."""

    lines: list[Line]
    baseline: float
    size: float
    distance: float
    """From the page's edge, in points."""
    pattern: str = ""
    """The text without its numbers."""
    numbers: tuple[int, ...] = ()


@dataclass(slots=True)
class _Page:
    lines: PageLines
    edges: tuple[list[_Band], list[_Band]]
    """The bands at the top and those at the bottom, each from the edge inwards; the last one is only a neighbour."""


def without_running(pages: Iterable[PageLines]) -> Iterator[PageLines]:
    """The pages, in order, without their running headers and footers, of which page numbers are one kind.

    A header is at one place, in one size and with one text on three pages in a row (or on three left or right pages);
    its numbers are the same, or count the pages. It stands apart from the text, and there is other text on its page: a
    slide's only line is no header. `_REACH` pages are read ahead, whatever the length of the document.
    """
    window: deque[_Page] = deque(maxlen=2 * _REACH + 1)
    given = read = 0
    for page in pages:
        window.append(_Page(page, _edges(page)))
        read += 1
        if read > _REACH:
            yield _stripped(window, given - (read - len(window)))
            given += 1
    while given < read:
        yield _stripped(window, given - (read - len(window)))
        given += 1


def _edges(page: PageLines) -> tuple[list[_Band], list[_Band]]:
    lines = sorted((line for line in page.lines if line.horizontal and line.text.strip()), key=lambda it: it.baseline)
    return _bands(lines, page.height), _bands(lines[::-1], page.height)


def _bands(lines: list[Line], height: float) -> list[_Band]:
    """The first bands of lines that are sorted from an edge inwards."""
    bands: list[_Band] = []
    for line in lines:
        if bands and abs(line.baseline - bands[-1].baseline) <= 0.5 * line.size:
            bands[-1].lines.append(line)
            bands[-1].size = max(bands[-1].size, line.size)
        elif len(bands) > _BANDS:
            break
        else:
            bands.append(_Band([line], line.baseline, line.size, min(line.baseline, height - line.baseline)))
    for band in bands:
        text = " ".join(" ".join(line.text for line in sorted(band.lines, key=lambda it: it.x0)).split()).casefold()
        if roman := _ROMAN.fullmatch(text):
            band.pattern, band.numbers = "roman", (_roman_value(roman.group(1)),)
        else:
            band.pattern = _NUMBER.sub("#", text)
            band.numbers = tuple(int(number) for number in _NUMBER.findall(text))
    return bands


def _stripped(window: deque[_Page], at: int) -> PageLines:
    page = window[at]
    doomed: list[Line] = []
    for edge in (0, 1):
        bands = page.edges[edge]
        count = 0
        while count < min(len(bands), _BANDS) and _is_running(window, at, edge, bands[count]):
            count += 1
        while 0 < count < len(bands) and not _stand_apart(bands[count - 1], bands[count]):
            count -= 1
        doomed.extend(line for band in bands[:count] for line in band.lines)
    ids = {id(line) for line in doomed}
    kept = [line for line in page.lines.lines if id(line) not in ids]
    if not any(line.text.strip() for line in kept):
        return page.lines
    return PageLines(page.lines.number, page.lines.height, kept)


def _is_running(window: deque[_Page], at: int, edge: int, band: _Band) -> bool:
    if band.distance > _EDGE * window[at].lines.height:
        return False
    found = {
        distance: distance == 0 or any(_same(band, other, distance) for other in window[at + distance].edges[edge])
        for distance in range(-_REACH, _REACH + 1)
        if 0 <= at + distance < len(window)
    }
    return any(all(found.get(distance, False) for distance in run) for run in _RUNS)


def _same(band: _Band, other: _Band, pages_on: int) -> bool:
    return (
        band.pattern == other.pattern
        and abs(band.distance - other.distance) <= _SAME_PLACE
        and abs(band.size - other.size) <= _SAME_SIZE
        and all(theirs - ours in (0, pages_on) for ours, theirs in zip(band.numbers, other.numbers, strict=True))
    )


def _stand_apart(outer: _Band, inner: _Band) -> bool:
    return abs(outer.baseline - inner.baseline) >= _APART * max(outer.size, inner.size)


def _roman_value(text: str) -> int:
    digits = [_ROMAN_DIGITS[digit] for digit in text.lower()]
    following = [*digits[1:], 0]
    return sum(-digit if digit < after else digit for digit, after in zip(digits, following, strict=True))
