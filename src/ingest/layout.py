"""From the lines that a PDF page was set in to the text that its author wrote: rows, paragraphs, joined hyphens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ingest.assembly import Assembly
from ingest.pages import ParsedPage


@dataclass(slots=True)
class Line:
    """A line of type. The box is in points, y grows downwards; `size` is that of its largest words."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    baseline: float
    block: int
    """Lines of one number were set together."""
    bold: bool = False
    """All of it."""
    horizontal: bool = True


_SAME_SIZE = 0.04
_PARAGRAPH_PITCH = 1.15
"""Times the page's usual line distance: beyond this, space was put between two paragraphs."""
_LIST_PITCH = 1.6
"""Up to this, two blocks of one line each are neighbours in a list or a table."""

_BULLET = re.compile(r"[•▪◦‣●○■□➤✓·∙*–—-]\s")
_NUMBERED = re.compile(r"(?:\(?\d{1,3}[.)]|\(?[A-Za-z][.)]|§\s?\d)\s")
_ENDED = re.compile(r"[.!?:;…。！？]['\")\]’”»]*$")
_HYPHENATED = re.compile(r"[^\W\d_]([-\u2010\u00ad])$")
_LAST_WORD = re.compile(r"[\w\u2010-]+$")
_FIRST_WORD = re.compile(r"[^\W\d_]+")
_WORD = re.compile(r"[\w\u2010-]+")
_KEPT_PREFIXES = frozenset({"self", "non", "well", "all", "ex", "half", "high", "low", "long", "short", "cross", "e"})
"""Before these a hyphen at a line's end is nearly always the word's own."""
_UNSPACED = re.compile("[\u2e80-\u312f\u3190-\u9fff\uf900-\ufaff\uff00-\uffef]")
"""Chinese and Japanese are written without spaces; Korean is not."""


def compose(number: int, lines: list[Line]) -> ParsedPage:
    """The page's cleaned text. Lines are taken in the given order, which is the order that they are read in.

    The source map leads back to the lines' texts, each stripped of white space at its ends, joined by `\\n` (by a tab
    between the cells of a row).
    """
    rows = [row for row in _rows(lines) if row.text]
    flows = list(_flows(rows, _pitch(rows)))
    words = frozenset(word.lower() for row in rows for word in _WORD.findall(row.text))
    columns = [flow for flow in flows if len(flow) >= 3]
    assembly = Assembly()
    before: Line | None = None
    for flow in flows:
        left, edge = min(row.x0 for row in flow), _right_edge(flow, columns)
        filled = _is_filled(flow, edge)
        for row in flow:
            text = row.text
            if before is not None:
                first = row is flow[0]
                text = _join(assembly, _Seam(before, row, left, edge, filled, first), words, text)
            assembly.clean_typeset(text) if "\t" not in text else _cells(assembly, text)
            before = row
    return ParsedPage(number, assembly.text, assembly.source_map)


@dataclass(slots=True)
class _Seam:
    before: Line
    after: Line
    left: float
    edge: float
    """Where lines of this paragraph end when they are full, in points."""
    filled: bool
    """Whether this paragraph's lines end where there was no room for more, as those of an address do not."""
    opens_flow: bool


def _cells(assembly: Assembly, text: str) -> None:
    for index, cell in enumerate(text.split("\t")):
        if index:
            assembly.copy("\t")
        assembly.clean_typeset(cell)


def _join(assembly: Assembly, seam: _Seam, words: frozenset[str], text: str) -> str:
    """Append what belongs between two rows; returns what of the second row is still to be appended."""
    if seam.opens_flow and _goes_on_above(seam.before, seam.after):
        return _continue(assembly, seam.before.text, words, text)
    if seam.opens_flow:
        assembly.replace("\n", "\n" if _neighbours(seam.before, seam.after) else "\n\n")
        return text
    if _starts_paragraph(seam):
        assembly.replace("\n", "\n\n")
        return text
    if _starts_line(seam):
        assembly.copy("\n")
        return text
    return _continue(assembly, seam.before.text, words, text)


def _continue(assembly: Assembly, before: str, words: frozenset[str], text: str) -> str:
    """The seam inside a sentence. The hyphen of `before`, which is appended already, is taken back where it goes."""
    if _HYPHENATED.search(before) and text[:1].islower():
        if not _keeps_hyphen(before, text, words):
            assembly.withdraw(before[-1])
            assembly.replace(before[-1] + "\n", "")
        else:
            assembly.replace("\n", "")
    elif _UNSPACED.match(before[-1]) and _UNSPACED.match(text[0]):
        assembly.replace("\n", "")
    else:
        assembly.replace("\n", " ")
    return text


def _keeps_hyphen(before: str, text: str, words: frozenset[str]) -> bool:
    """Whether the hyphen is the word's own: `well-` + `known`, but not `docu-` + `ment`."""
    head_match, tail_match = _LAST_WORD.search(before), _FIRST_WORD.match(text)
    if before[-1] == "\u00ad" or head_match is None or tail_match is None:
        return False
    head, tail = head_match.group()[:-1].lower(), tail_match.group().lower()
    if head + tail in words:
        return False
    return f"{head}-{tail}" in words or head in _KEPT_PREFIXES or "-" in head


def _rows(lines: list[Line]) -> list[Line]:
    """Lines beside each other on one baseline become one row, the gaps between its cells a tab."""
    rows: list[Line] = []
    for line in lines:
        line.text = line.text.strip()
        if not line.text:
            continue
        last = rows[-1] if rows else None
        if last is not None and _beside(last, line):
            gap = line.x0 - last.x1
            if len(line.text) > len(last.text):
                last.size, last.baseline = line.size, line.baseline
            last.bold = last.bold and line.bold
            last.text += ("\t" if gap > last.size else " " if gap > 0.1 * last.size else "") + line.text
            last.x1, last.y0, last.y1 = line.x1, min(last.y0, line.y0), max(last.y1, line.y1)
        else:
            rows.append(line)
    return rows


def _beside(left: Line, right: Line) -> bool:
    if not (left.horizontal and right.horizontal) or right.x0 < left.x1 - 0.3 * left.size:
        return False
    overlap = min(left.y1, right.y1) - max(left.y0, right.y0)
    return overlap > 0.6 * min(left.y1 - left.y0, right.y1 - right.y0)


def _pitch(rows: list[Line]) -> float:
    """The distance from line to line in points, without what is put between paragraphs; 0 where there is none.

    It is the lower quartile of the distances: on a page of short paragraphs and lists, most are wider.
    """
    distances = sorted(
        below.baseline - above.baseline
        for above, below in pairwise(rows)
        if _under(above, below) and 0.7 * above.size < below.baseline - above.baseline < 3 * above.size
    )
    return distances[len(distances) // 4] if distances else 0.0


def _under(above: Line, below: Line) -> bool:
    return below.baseline > above.baseline and min(above.x1, below.x1) > max(above.x0, below.x0)


def _same_style(one: Line, other: Line) -> bool:
    return one.bold == other.bold and abs(one.size - other.size) <= _SAME_SIZE * max(one.size, other.size)


def _flows(rows: list[Line], pitch: float) -> Iterator[list[Line]]:
    """Runs of rows of one size and weight at the usual distance: paragraphs, or several that are only indented."""
    flow: list[Line] = []
    for row in rows:
        if flow and not _flows_on(flow[-1], row, pitch):
            yield flow
            flow = []
        flow.append(row)
    if flow:
        yield flow


def _flows_on(before: Line, after: Line, pitch: float) -> bool:
    if not (before.horizontal and after.horizontal and _same_style(before, after)):
        return before.block == after.block and before.horizontal == after.horizontal and not before.horizontal
    if not _under(before, after):
        return False
    return after.baseline - before.baseline <= _PARAGRAPH_PITCH * pitch


def _goes_on_above(before: Line, after: Line) -> bool:
    """Whether a sentence goes on at the top of the next column."""
    return (
        before.horizontal
        and after.horizontal
        and after.baseline < before.baseline
        and after.x0 > before.x0 + 2 * before.size
        and _same_style(before, after)
        and "\t" not in before.text + after.text
        and after.text[0].islower()
        and not _ENDED.search(before.text)
    )


def _right_edge(flow: list[Line], columns: list[list[Line]]) -> float:
    """Where full lines end: two short lines say little about that, so the column's longer paragraphs are asked."""
    own = max(row.x1 for row in flow)
    if len(flow) >= 3:
        return own
    left = min(row.x0 for row in flow)
    reach = 2 * flow[0].size
    return max(
        [own]
        + [max(row.x1 for row in column) for column in columns if abs(min(row.x0 for row in column) - left) < reach]
    )


def _starts_paragraph(seam: _Seam) -> bool:
    """A first line's indent, after a line that ended a sentence."""
    before, after = seam.before, seam.after
    indented = after.x0 > seam.left + 0.8 * after.size and before.x0 < seam.left + 0.3 * before.size
    return indented and bool(_ENDED.search(before.text)) and not _is_item(after.text)


def _starts_line(seam: _Seam) -> bool:
    before, after = seam.before, seam.after
    if not before.horizontal or "\t" in before.text or "\t" in after.text or _BULLET.match(after.text):
        return True
    ended = bool(_ENDED.search(before.text))
    if ended and _NUMBERED.match(after.text):
        return True
    reaches = 2 * (before.x1 - seam.left) > seam.edge - seam.left
    if after.text[0].islower() and not ended and reaches:
        return False
    return not (seam.filled and _is_full(before, after, seam.edge))


def _is_full(before: Line, after: Line, edge: float) -> bool:
    """Whether the next line's first word had no room on this one."""
    first, _, _ = after.text.partition(" ")
    # A quarter more than the line's average, as of capitals, and a space.
    first_width = 1.25 * len(first) / len(after.text) * (after.x1 - after.x0)
    return before.x1 + 0.4 * before.size + first_width > edge


def _is_filled(flow: list[Line], edge: float) -> bool:
    full = [_is_full(before, after, edge) for before, after in pairwise(flow) if not _BULLET.match(after.text)]
    return 2 * sum(full) > len(full)


def _neighbours(before: Line, after: Line) -> bool:
    """Rows of a list or a table that stand a little apart."""
    alike = ("\t" in before.text and "\t" in after.text) or (_is_item(before.text) and _is_item(after.text))
    near = 0 < after.baseline - before.baseline <= _LIST_PITCH * 1.2 * after.size
    return alike and near and _same_style(before, after)


def _is_item(text: str) -> bool:
    return bool(_BULLET.match(text) or _NUMBERED.match(text))
