"""CSV files: each row a line that names its columns, so that a quotation of it can be understood by itself."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from itertools import islice

from core.errors import ErrorCode
from ingest.pages import ParsedPage
from ingest.refusal import Refusal
from ingest.text import cleaned, decode

_SAMPLE_ROWS = 200
_SAMPLE_CHARS = 1 << 16
_DELIMITERS = ("\t", ";", "|", ",")
"""In this order: where both split all rows alike, a comma is in numbers or in sentences."""
_ALIKE = 0.8
"""The share of rows that must have the usual number of columns."""
_EXCELS_OWN = re.compile(r"\ufeff?sep=([^\n])\n", re.IGNORECASE)
_NUMERIC = re.compile(r"[\s\d.,:/%+$€£-]*")
_WORDLIKE = re.compile(r"[^\W_]")


def read_csv(data: bytes, max_chars: int) -> tuple[ParsedPage, str]:
    """The whole file as one page without a number, and its encoding.

    A row is a line `name: value`, a tab, `name: value` …, without the cells that are empty; the first row gives the
    names where it looks like names. Line breaks and tabs within a cell are spaces. What no delimiter makes a table of
    is kept as it is written.
    Raises Refusal: EMPTY where there is no word and no number, CORRUPT where no encoding fits, TOO_LARGE beyond
    `max_chars` code points.
    """
    text, encoding = decode(data)
    if len(text) > max_chars:
        raise Refusal(ErrorCode.TOO_LARGE, max_chars)
    text, delimiter = _delimiter(text.replace("\r\n", "\n").replace("\r", "\n"))
    page = cleaned(None, text if delimiter is None else _as_lines(text, delimiter, max_chars))
    if not _WORDLIKE.search(page.text):
        raise Refusal(ErrorCode.EMPTY)
    return page, encoding


def _delimiter(text: str) -> tuple[str, str | None]:
    """The text without the line in which Excel names the delimiter, and the delimiter; None where there is none."""
    if named := _EXCELS_OWN.match(text):
        return text[named.end() :], named.group(1)
    text = text.removeprefix("\ufeff")
    sample = text[:_SAMPLE_CHARS]
    if len(text) > _SAMPLE_CHARS:
        sample = sample[: sample.rfind("\n") + 1] or sample
    for delimiter in _DELIMITERS:
        widths = [len(row) for row in islice(_rows(sample, delimiter), _SAMPLE_ROWS)]
        usual, count = Counter(widths).most_common(1)[0] if widths else (0, 0)
        if usual > 1 and widths[0] == usual and count >= _ALIKE * len(widths):
            return text, delimiter
    return text, None


def _rows(text: str, delimiter: str) -> list[list[str]]:
    """The rows that are not blank; their cells each on one line."""
    csv.field_size_limit(max(1 << 17, len(text)))
    found = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    rows = ([" ".join(cell.split()) for cell in row] for row in found)
    return [row for row in rows if any(row)]


def _as_lines(text: str, delimiter: str, max_chars: int) -> str:
    rows = _rows(text, delimiter)
    names = rows[0] if rows and len(rows) > 1 and _are_names(rows[0]) else None
    lines: list[str] = []
    length = 0
    for row in rows if names is None else rows[1:]:
        lines.append("\t".join(_cells(row, names)))
        length += len(lines[-1]) + 1
        if length > max_chars + 1:
            # Names are repeated in each row: a small file with long ones is a large text.
            raise Refusal(ErrorCode.TOO_LARGE, max_chars)
    return "\n".join(lines)


def _are_names(row: list[str]) -> bool:
    filled = [cell for cell in row if cell]
    return len(filled) > 1 and len(set(filled)) == len(filled) and not any(_NUMERIC.fullmatch(cell) for cell in filled)


def _cells(row: list[str], names: list[str] | None) -> list[str]:
    named = names or []
    return [
        f"{named[column]}: {cell}" if column < len(named) and named[column] else cell
        for column, cell in enumerate(row)
        if cell
    ]
