"""Cutting a page's text into overlapping passages that are searched, and quoted, one by one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ingest.boundaries import Breaks, breaks
from ingest.graphemes import clusters, is_boundary

_INK = re.compile(r"\S")
_GAP = re.compile(r"\s+")
_TAIL = 5
"""A last passage may be longer than the others by a fifth, so that no crumb is left over."""


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` of a page; both count Unicode code points."""

    start: int
    end: int


def chunk_page(text: str, size: int = 500, overlap: int = 50) -> list[Span]:
    """The passages of one page, in order; together they hold every character that is not white space.

    A passage has at most `size` code points, the last of a page at most `size + size // 5`; it neither begins nor ends
    with white space. It ends with a paragraph if one ends in its second half, else with a sentence, else with a word,
    else (scripts without spaces, long tokens) with a character as readers see it; only a character longer than three
    quarters of a passage is cut. The next passage begins up to `overlap` code points before that end: with the first
    sentence that begins there, else with the first word; after a table's row it begins with the next line. (A mark that
    is carried by white space counts as beginning where the mark does.)

    Raises ValueError unless 0 <= 4 * overlap < size. Time is linear in the text's length.
    """
    if not 0 <= 4 * overlap < size:
        raise ValueError(f"overlap {overlap} must be at least 0 and less than a quarter of size {size}")
    spans: list[Span] = []
    paragraphs, sentences, rows = breaks(text)
    limit = len(text.rstrip())
    start = _next_ink(text, 0)
    while start < limit:
        if limit - start <= size + size // _TAIL:
            spans.append(Span(start, limit))
            break
        end = _end(text, start, size, overlap, paragraphs, sentences)
        spans.append(Span(start, end))
        # Half a row says nothing, and would pass for a whole one.
        start = _next_ink(text, end) if end in rows else _next_start(text, start, end, overlap, sentences)
    return spans


def _next_ink(text: str, at: int) -> int:
    found = _INK.search(text, at)
    return found.start() if found else len(text)


def _end(text: str, start: int, size: int, overlap: int, paragraphs: Breaks, sentences: Breaks) -> int:
    low, high = start + size // 2, start + size
    for kind in (paragraphs, sentences):
        end = kind.last_end(low, high)
        if end is not None:
            return end
    # More than the overlap, so that every passage says something new.
    low = start + max(size // 4, overlap + 1)
    end = _last_gap(text, start, low, high)
    if end is None:
        end = max((at for at in clusters(text, start, high + 1) if at >= low), default=high)
    while text[end - 1].isspace():
        end -= 1
    return end


def _last_gap(text: str, start: int, low: int, high: int) -> int | None:
    """The last end of a word in [low, high]. Space that carries a combining mark is no gap."""
    found = None
    for gap in _GAP.finditer(text, low, high + 1):
        at, behind = gap.span()
        if at == low and text[at - 1].isspace():
            continue
        # Of white space only a line end joins what follows, and that inside of the gap.
        if is_boundary(text, behind, at):
            found = at
    return found


def _next_start(text: str, start: int, end: int, overlap: int, sentences: Breaks) -> int:
    fresh = _next_ink(text, end)
    # Counted from what is new: across a wide gap there is nothing to overlap with.
    low = max(fresh - overlap, start + 1)
    sentence = sentences.first_start(low, end - 1)
    if sentence is not None:
        return sentence
    for gap in _GAP.finditer(text, max(low - 1, 0), end):
        at = gap.end()
        if low <= at < end and is_boundary(text, at, gap.start()):
            return at
    if fresh > end:
        return fresh
    return next((at for at in clusters(text, start, end) if at >= low and not text[at].isspace()), fresh)
