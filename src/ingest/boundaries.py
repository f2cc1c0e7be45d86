"""Where paragraphs and sentences begin in a cleaned text."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from ingest.graphemes import is_boundary

_GAP = re.compile(r"\s+")
_ENDS = frozenset(".!?…؟۔।॥")
_ENDS_UNSPACED = re.compile("[。！？｡]")
_CLOSING = frozenset("\"'”’»)]}」』）】*_")
_LINE_OPENERS = frozenset("-–—*•▪◦·#|>+")
_LOOK_BACK = 12
"""Characters before a gap that are looked at: closing quotes and an abbreviation fit."""
_ABBREVIATIONS = frozenset(
    (
        *("mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "inc", "ltd", "co", "dept", "est"),
        *(
            "vs",
            "e.g",
            "i.e",
            "cf",
            "al",
            "approx",
            "ca",
            "no",
            "nr",
            "vol",
            "fig",
            "eq",
            "sec",
            "ch",
            "art",
            "p",
            "pp",
        ),
        *("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "z.b", "d.h", "bzw"),
    )
)
_LAST_WORD = re.compile(r"[^\s(\[\"'“„]+$")


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
    sentences: list[tuple[int, int]] = []
    rows: list[int] = []
    in_row = _is_row(text, len(text) - len(text.lstrip()))
    for gap in _GAP.finditer(text):
        start, end = gap.span()
        if start == 0 or end == len(text):
            continue
        newlines = text.count("\n", start, end)
        after_row, in_row = in_row, _is_row(text, end) if newlines else in_row
        ends = newlines > 1 or (newlines and (after_row or in_row or text[end] in _LINE_OPENERS))
        if not ends and not in_row:
            ends = _ends_sentence(text, start, end)
        if not ends or not is_boundary(text, end, start):
            continue
        sentences.append((start, end))
        if newlines > 1:
            paragraphs[0].append(start)
            paragraphs[1].append(end)
        if after_row:
            rows.append(start)
    for mark in _ENDS_UNSPACED.finditer(text):
        end = mark.end()
        while end < len(text) and end - mark.end() < _LOOK_BACK and text[end] in _CLOSING:
            end += 1
        glued = end == len(text) or text[end].isspace() or _ENDS_UNSPACED.match(text, end)
        if not glued and is_boundary(text, end, mark.start()):
            sentences.append((end, end))
    sentences.sort()
    ends_and_starts = Breaks([end for end, _ in sentences], [start for _, start in sentences])
    return Breaks(*paragraphs), ends_and_starts, frozenset(rows)


def _is_row(text: str, start: int) -> bool:
    """Whether the line that begins with the word at `start` has cells."""
    end = text.find("\n", start)
    return text.find("\t", start, end if end >= 0 else len(text)) >= 0


def _ends_sentence(text: str, start: int, end: int) -> bool:
    """Whether the gap [start, end) is between two sentences."""
    at = start
    while at > max(0, start - _LOOK_BACK) and text[at - 1] in _CLOSING:
        at -= 1
    if at == 0:
        return False
    mark = text[at - 1]
    if _ENDS_UNSPACED.match(mark):
        return True
    if mark not in _ENDS or text[end].islower():
        return False
    if mark != ".":
        return True
    word = _LAST_WORD.search(text[max(0, at - 1 - _LOOK_BACK) : at - 1])
    if word is None:
        return True
    # "Dr. Who", "J. Smith", "e.g. Kant"; but "in 1990. Then".
    return word.group().lower() not in _ABBREVIATIONS and not (len(word.group()) == 1 and word.group().isupper())
