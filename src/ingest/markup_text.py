"""From markup to written text: paragraphs, headings, list items are lines, and a table's rows are, cell by cell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import ErrorCode
from ingest.refusal import Refusal

_SKIPPED = frozenset(
    (
        *("script", "style", "nav", "template", "noscript", "iframe", "object", "svg", "canvas", "audio", "video"),
        *("button", "select", "datalist", "map"),
    )
)
"""What is no text of the author's, or is the same on all pages of a site."""
_PICTURES = frozenset({"img", "image", "svg", "canvas", "script", "iframe", "object", "video"})
"""Where there is one of these and no word, what a reader sees is a picture, or is made by a program."""
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_CELLS = frozenset({"td", "th"})
_INLINE = frozenset(
    (
        *("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i"),
        *("img", "image", "ins", "kbd", "label", "mark", "meter", "output", "progress", "q", "rb", "rp", "rt", "rtc"),
        *("ruby", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"),
        *("math", "mi", "mn", "mo", "mrow", "msub", "msup", "mtext", "link", "meta", "input", "param", "source"),
    )
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_BREAK = "\0"  # a <br> among the pieces of a line; no document has the character, parsers replace it
_SPACES = re.compile(r"[ \t\n\r\f\u00a0]+")
_AROUND_BREAK = re.compile(r" ?\0 ?")
_INVISIBLE = {0xAD: None, 0x200B: None}
_MAX_INDENT = 8
_CELL_CHARS = 1_000
"""A longer cell is no value in a table: the table lays out a page, and its cells are read one after the other."""
_MAX_SPAN = 1_000
"""HTML's own limit on the columns that a cell reaches over."""


@dataclass(slots=True)
class _Block:
    """A paragraph, a heading, a list's item, a table's row."""

    text: str
    group: int | None
    """Blocks of one list or table; None for what stands alone. Those of one group follow each other line by line."""


@dataclass(slots=True)
class _Cell:
    blocks: list[_Block] = field(default_factory=list)
    lays_out: bool = False
    """Has a heading or a table in it."""
    columns: int = 1
    rows: int = 1


@dataclass(slots=True)
class _Table:
    group: int
    row: list[_Cell] = field(default_factory=list)
    cell: _Cell | None = None
    lists: list[list[Any]] = field(default_factory=list)
    """The lists that were open outside of it."""
    reaching: dict[int, tuple[int, str]] = field(default_factory=dict)
    """By column: what a cell above says for so many more rows."""


class MarkupText:
    """A target of lxml's parsers that gathers `text`. Raises Refusal: TOO_LARGE beyond `max_chars` code points."""

    def __init__(self, max_chars: int, skipped: frozenset[str] = frozenset()) -> None:
        self.has_pictures = False
        self._max_chars = max_chars
        self._skip_tags = _SKIPPED | skipped
        self._skipping = 0
        self._blocks: list[_Block] = []
        self._line: list[str] = []
        self._prefix = ""
        self._heading = False
        self._preformatted = 0
        self._lists: list[list[Any]] = []
        self._tables: list[_Table] = []
        self._groups = 0
        self._group_of_lists = 0
        self._length = 0
        self._title: _Block | None = None

    @property
    def text(self) -> str:
        parts: list[str] = []
        before: _Block | None = None
        for block in self._blocks:
            if before is not None:
                parts.append("\n" if block.group is not None and block.group == before.group else "\n\n")
            parts.append(block.text)
            before = block
        return "".join(parts)

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        tag = _local(name)
        if tag in _PICTURES:
            self.has_pictures = True
        if self._skipping:
            self._skipping += 1
        elif tag in self._skip_tags or _is_hidden(attributes):
            self._skipping = 1
        elif tag == "br":
            self._line.append(_BREAK)
        elif tag not in _INLINE:
            self._flush()
            self._open(tag, attributes)

    def end(self, name: str) -> None:
        tag = _local(name)
        if self._skipping:
            self._skipping -= 1
        elif tag != "br" and tag not in _INLINE:
            self._flush(is_title=tag == "title")
            self._close(tag)

    def data(self, data: str) -> None:
        if not self._skipping:
            self._line.append(data)

    def close(self) -> None:
        self._flush()
        while self._tables:
            self._close("table")

    def _open(self, tag: str, attributes: Mapping[str, str]) -> None:
        table = self._tables[-1] if self._tables else None
        if tag in ("ul", "ol", "menu"):
            if not self._lists:
                self._group_of_lists = self._new_group()
            self._lists.append([tag == "ol", _number(attributes.get("start"), 1, 1 << 31)])
        elif tag == "li":
            self._begin_item(attributes)
        elif tag in _HEADINGS:
            self._heading = True
            if table is not None and table.cell is not None:
                table.cell.lays_out = True
        elif tag == "pre":
            self._preformatted += 1
        elif tag == "table":
            if table is not None and table.cell is not None:
                table.cell.lays_out = True
            self._tables.append(_Table(self._new_group(), lists=self._lists))
            self._lists = []
        elif table is not None and tag == "tr":
            self._end_row(table)
        elif table is not None and tag in _CELLS:
            spans = (_number(attributes.get(name), 1, _MAX_SPAN) for name in ("colspan", "rowspan"))
            table.cell = _Cell([], False, *spans)
            table.row.append(table.cell)
            self._lists = []

    def _close(self, tag: str) -> None:
        table = self._tables[-1] if self._tables else None
        if tag in ("ul", "ol", "menu"):
            if self._lists:
                self._lists.pop()
        elif tag in _HEADINGS:
            self._heading = False
        elif tag == "li":
            self._prefix = ""
        elif tag == "pre":
            self._preformatted = max(0, self._preformatted - 1)
        elif table is not None and tag in _CELLS:
            table.cell = None
        elif table is not None and tag == "tr":
            self._end_row(table)
        elif table is not None and tag == "table":
            self._end_row(table)
            self._lists = table.lists
            self._tables.pop()

    def _begin_item(self, attributes: Mapping[str, str]) -> None:
        indent = "  " * min(max(0, len(self._lists) - 1), _MAX_INDENT)
        if self._lists and self._lists[-1][0]:
            number = _number(attributes.get("value"), self._lists[-1][1], 1 << 31)
            self._lists[-1][1] = number + 1
            self._prefix = f"{indent}{number}. "
        else:
            self._prefix = f"{indent}- "

    def _new_group(self) -> int:
        self._groups += 1
        return self._groups

    def _flush(self, *, is_title: bool = False) -> None:
        """End the line that is being written, if there is anything on it."""
        if not self._line:
            return
        raw = "".join(self._line).translate(_INVISIBLE)
        self._line = []
        if self._preformatted:
            text = raw.replace(_BREAK, "\n").replace("\u00a0", " ").strip("\r\n").rstrip()
        else:
            text = _AROUND_BREAK.sub("\n", _SPACES.sub(" ", raw)).strip()
        if not text or text.isspace():
            return
        block = _Block(self._prefix + text, self._group_of_lists if self._lists else None)
        self._prefix = ""
        if is_title and self._title is None:
            self._title = block
        elif self._heading and self._title is not None and text == self._title.text:
            # Pages say their title twice.
            self._title.text = ""
            self._blocks = [each for each in self._blocks if each.text]
            self._title = None
        self._add(block)

    def _add(self, block: _Block) -> None:
        self._length += len(block.text) + 2
        if self._length > self._max_chars + 2:
            raise Refusal(ErrorCode.TOO_LARGE, self._max_chars)
        cell = self._tables[-1].cell if self._tables else None
        (self._blocks if cell is None else cell.blocks).append(block)

    def _end_row(self, table: _Table) -> None:
        row, table.row, table.cell = table.row, [], None
        if not row:
            return
        self._length -= sum(len(block.text) + 2 for cell in row for block in cell.blocks)
        self._tables.pop()  # what follows goes where the table is
        try:
            if any(cell.lays_out or sum(len(block.text) for block in cell.blocks) > _CELL_CHARS for cell in row):
                for cell in row:
                    for block in cell.blocks:
                        self._add(block)
            elif any(cell.blocks for cell in row):
                self._add(_Block("\t".join(_values(table, row)).strip("\t"), table.group))
        finally:
            self._tables.append(table)


def _values(table: _Table, row: list[_Cell]) -> list[str]:
    """What the row says, column by column; a cell that reaches over rows says its value in each of them."""
    values: list[str] = []
    column = 0
    for cell in row:
        column = _reach(table, column, values)
        text = " ".join(" ".join(block.text for block in cell.blocks).split())
        values.append(text)
        if cell.rows > 1 and text:
            table.reaching[column] = (cell.rows - 1, text)
        column += cell.columns
    _reach(table, column, values)
    return values


def _reach(table: _Table, column: int, values: list[str]) -> int:
    while column in table.reaching:
        left, text = table.reaching.pop(column)
        values.append(text)
        if left > 1:
            table.reaching[column] = (left - 1, text)
        column += 1
    return column


def _local(name: str) -> str:
    return name.rpartition("}")[2].lower()


def _is_hidden(attributes: Mapping[str, str]) -> bool:
    if "hidden" in attributes or attributes.get("role") == "navigation":
        return True
    style = attributes.get("style")
    return style is not None and _HIDDEN.search(style) is not None


def _number(value: str | None, default: int, most: int) -> int:
    """A count from an attribute, from 1 to `most`; `default` where it is none."""
    if value is None or not value.isascii() or not value.strip().isdigit() or len(value) > 10:
        return default
    return min(max(1, int(value)), most)
