"""Where paragraphs and sentences begin in a cleaned text.

Sentences are found by `sentencex`; lines of lists and rows of tables, which it does not know, by what they look like.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sentencex import get_sentence_boundaries

from ingest.graphemes import is_boundary

_GAP = re.compile(r"\s+")
_INK = re.compile(r"\S")
_LINE_OPENERS = frozenset("-–—*•▪◦·#|>+")
_LANGUAGE = "en"
"""Whose abbreviations are known. Full stops of all scripts are."""
_WINDOW = 1_000
"""Characters that are looked at together: `sentencex` takes time in the square of unpaired quotation marks."""


@dataclass(frozen=True, slots=True)
class Breaks:
    """Places to cut, in order. `ends[i]` is where the text before break i ends, `starts[i]` where the next begins."""

    ends: list[int]
    starts: list[int]

    def last_end(self, low: int, high: int) -> int | None:
        """The last end in [low, high]."""
        index = bisect_right(self.ends, high) - 1
        return self.ends[index] if index >= 0 and self.ends[index] >= low else None

    def first_start(self, low: int, high: int) -> int | None:
        """The first start in [low, high]."""
        index = bisect_left(self.starts, low)
        return self.starts[index] if index < len(self.starts) and self.starts[index] <= high else None


def breaks(text: str) -> tuple[Breaks, Breaks, frozenset[int]]:
    """The breaks between paragraphs (empty lines), those between sentences, which include the former, and the ends of
    a table's rows, which are among these. A row is a line with a tab in it, and no sentence ends inside. Linear."""
    paragraphs: tuple[list[int], list[int]] = ([], [])
    sentences: tuple[list[int], list[int]] = ([], [])
    rows: list[int] = []
    begun = len(text) - len(text.lstrip())
    in_row = _is_row(text, begun)
    for gap in _GAP.finditer(text, begun):
        start, end = gap.span()
        newlines = text.count("\n", start, end)
        if not newlines or end == len(text):
            continue
        after_row, in_row = in_row, _is_row(text, end)
        if newlines == 1 and not after_row and not in_row and text[end] not in _LINE_OPENERS:
            continue
        if not is_boundary(text, end, start):
            continue
        if not after_row:
            _add(sentences, _sentences(text, begun, start))
        _add(sentences, [(start, end)])
        if newlines > 1:
            _add(paragraphs, [(start, end)])
        if after_row:
            rows.append(start)
        begun = end
    if not in_row:
        _add(sentences, _sentences(text, begun, len(text.rstrip())))
    return Breaks(*paragraphs), Breaks(*sentences), frozenset(rows)


def _add(breaks: tuple[list[int], list[int]], more: Iterable[tuple[int, int]]) -> None:
    for end, start in more:
        breaks[0].append(end)
        breaks[1].append(start)


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where one sentence ends and the next begins, of those between `start` and `end`."""
    while start < end:
        reach = min(start + _WINDOW, end)
        # A line that only wraps ends no sentence.
        window = text[start:reach].replace("\n", " ")
        begins = [start + sentence["start_index"] for sentence in get_sentence_boundaries(_LANGUAGE, window)][1:]
        for begin in begins:
            before = start + len(text[start:begin].rstrip())
            behind = _INK.search(text, begin, end)
            if behind is not None and start < before and is_boundary(text, behind.start(), before):
                yield before, behind.start()
        # What the window cuts through is looked at whole, unless it is longer than a window.
        start = reach if reach == end or not begins else begins[-1]


def _is_row(text: str, start: int) -> bool:
    """Whether the line that begins with the word at `start` has cells."""
    end = text.find("\n", start)
    return text.find("\t", start, end if end >= 0 else len(text)) >= 0
