"""Tables of a PDF page that were not set line by line: cells of several lines, and columns that were set as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from ingest.layout import Line

_NEXT_LINE = 1.7
"""Times the size of type a cell's next line is below at most."""
_CELL_CHARS = 300
"""A longer cell is a column of prose."""
_ALIGNED = 1.5  # points
_FEWEST_ROWS = 3
"""Of a table that was set column by column: two lines beside two may be a heading beside a heading."""
_VALUE_CHARS = 25
"""The middle line of such a table is shorter, or it is prose in columns."""


@dataclass(slots=True)
class _Cell:
    """Lines that stand under each other and follow each other."""

    lines: list[Line]

    @property
    def x0(self) -> float:
        return min(line.x0 for line in self.lines)

    @property
    def x1(self) -> float:
        return max(line.x1 for line in self.lines)

    @property
    def top(self) -> float:
        return self.lines[0].baseline

    @property
    def bottom(self) -> float:
        return self.lines[-1].baseline

    @property
    def text(self) -> str:
        return " ".join(line.text.strip() for line in self.lines)


def in_rows(lines: list[Line]) -> list[Line]:
    """The lines, in their order, but that a table's row is one line with tabs between its cells, or that the lines of
    its cells follow each other, so that `layout.compose` finds the row. Everything else is as it was."""
    if not all(line.horizontal for line in lines):
        return lines
    rows = _rows([line for line in lines if line.text.strip()])
    result: list[Line] = []
    for index, row in enumerate(rows):
        in_table = any(len(beside) > 1 for beside in (*rows[max(0, index - 1) : index], *rows[index + 1 : index + 2]))
        several = any(len(cell.lines) > 1 for cell in row)
        if len(row) > 1 and several and in_table and all(len(cell.text) <= _CELL_CHARS for cell in row):
            result.append(_as_one(row))
        elif len(row) > 1 and not in_table and _was_set_by_columns(row):
            result.extend(line for beside in zip(*(cell.lines for cell in row), strict=True) for line in beside)
        else:
            result.extend(line for cell in row for line in cell.lines)
    return result


def _rows(lines: list[Line]) -> list[list[_Cell]]:
    """Cells that follow each other to the right, and stand beside each other."""
    rows: list[list[_Cell]] = []
    for cell in _cells(lines):
        last = rows[-1][-1] if rows else None
        if last is not None and cell.x0 >= last.x1 and _are_beside(rows[-1], cell):
            rows[-1].append(cell)
        else:
            rows.append([cell])
    return rows


def _are_beside(row: list[_Cell], cell: _Cell) -> bool:
    top, bottom = min(each.top for each in row), max(each.bottom for each in row)
    return cell.top <= bottom + _ALIGNED and cell.bottom >= top - _ALIGNED


def _cells(lines: list[Line]) -> list[_Cell]:
    cells: list[_Cell] = []
    for line in lines:
        last = cells[-1].lines[-1] if cells else None
        if (
            last is not None
            and 0 < line.baseline - last.baseline <= _NEXT_LINE * line.size
            and line.x0 < last.x1
            and line.x1 > last.x0
        ):
            cells[-1].lines.append(line)
        else:
            cells.append(_Cell([line]))
    return cells


def _was_set_by_columns(row: list[_Cell]) -> bool:
    count = len(row[0].lines)
    if count < _FEWEST_ROWS or any(len(cell.lines) != count for cell in row):
        return False
    if median(len(line.text) for cell in row for line in cell.lines) > _VALUE_CHARS:
        return False
    return all(
        max(line.baseline for line in beside) - min(line.baseline for line in beside) <= _ALIGNED
        for beside in zip(*(cell.lines for cell in row), strict=True)
    )


def _as_one(row: list[_Cell]) -> Line:
    lines = [line for cell in row for line in cell.lines]
    return Line(
        text="\t".join(cell.text for cell in row),
        x0=row[0].x0,
        y0=min(line.y0 for line in lines),
        x1=row[-1].x1,
        y1=max(line.y1 for line in lines),
        size=max(line.size for line in lines),
        baseline=max(line.baseline for line in lines),
        block=lines[0].block,
        bold=all(line.bold for line in lines),
    )
