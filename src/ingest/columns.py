"""Two columns of text on a page, in the order in which they are read."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from statistics import median

from ingest.layout import Line

_FEWEST = 4
"""Lines in a column; with fewer there is no telling it from a table."""
_MIDDLE = (0.25, 0.75)
"""Where the right column may begin, as a share of the width of all text."""
_GAP = 0.4
"""Times the size of type is the least width of the gap between columns."""
_CROSSING = 0.4
"""The share of the lines that may reach over the gap: titles, a picture's caption, a summary."""
_FILLED = 0.6
"""The share of the widest line that the middle one of a column has at least; a table's cells are of any width."""
_PROSE_CHARS = 15
"""The middle line of a column has at least so many characters."""
_ALTERNATING = 0.7
"""The share of neighbours in the given order that stand in different columns, where it goes line by line across them.
Where it goes to and fro by several lines, these are the cells of a table."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")


def in_reading_order(lines: list[Line]) -> list[Line]:
    """The lines, column by column where there are two columns of prose; otherwise as they were given.

    The given order is the one that a program has set them in, which is nearly always the right one: it is changed only
    where it goes from line to line across both columns, or has the right column first. Lines that reach over both
    divide the page: what is above them is read before them.
    """
    columns = _columns(lines)
    if columns is None:
        return lines
    left, right, crossing = columns
    ids = {id(line): side for side, part in enumerate((left, right)) for line in part}
    sides = [ids[id(line)] for line in lines if id(line) in ids]
    changes = sum(one != other for one, other in pairwise(sides))
    across = changes >= _ALTERNATING * 2 * min(len(left), len(right))
    # Once to the right, and back, in each part of the page that crossing lines divide.
    in_turn = changes <= 2 * len(crossing) + 1
    if not across and not in_turn:
        return lines
    ordered: list[Line] = []
    limits = [*sorted(line.baseline for line in crossing), float("inf")]
    over = sorted(crossing, key=lambda line: line.baseline)
    begin = float("-inf")
    for index, limit in enumerate(limits):
        for column in (left, right):
            ordered.extend(
                sorted((line for line in column if begin <= line.baseline < limit), key=lambda it: round(it.baseline))
            )
        if index < len(over):
            ordered.append(over[index])
        begin = limit
    kept = {id(line) for line in ordered}
    return ordered + [line for line in lines if id(line) not in kept]


def _columns(lines: list[Line]) -> tuple[list[Line], list[Line], list[Line]] | None:
    """The lines of the left column, those of the right one, and those that reach over both."""
    text = [line for line in lines if line.horizontal and line.text.strip()]
    if len(text) < 2 * _FEWEST:
        return None
    x0, x1 = min(line.x0 for line in text), max(line.x1 for line in text)
    low, high = (x0 + share * (x1 - x0) for share in _MIDDLE)
    starts = Counter(round(line.x0) for line in text if low <= line.x0 <= high)
    if not starts:
        return None
    edge, _ = starts.most_common(1)[0]
    left = [line for line in text if line.x1 <= edge - _GAP * line.size]
    right = [line for line in text if line.x0 >= edge - 1.5]
    aside = {id(line) for line in (*left, *right)}
    crossing = [line for line in text if id(line) not in aside]
    if len(crossing) > _CROSSING * len(text) or not (_is_column(left) and _is_column(right)):
        return None
    if 2 * sum(1 for line in text if _RIGHT_TO_LEFT.search(line.text)) > len(text):
        return None
    return left, right, crossing


def _is_column(lines: list[Line]) -> bool:
    if len(lines) < _FEWEST:
        return False
    widest = max(line.x1 - line.x0 for line in lines)
    return (
        median(line.x1 - line.x0 for line in lines) >= _FILLED * widest
        and median(len(line.text) for line in lines) >= _PROSE_CHARS
    )
