"""What the attack suite has measured, as a table at the end of the run: a pytest plugin.

A plugin and not a conftest, because under xdist the controller, which prints the end, loads no conftest of a folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

_PROPERTY = "attack"
_COLUMNS = ("attack", "refused by", "CPU ms", "longest gap ms")


@pytest.fixture
def report_attack(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """`report_attack(name, refused_by, cpu_ms, gap_ms)` adds a row; where nobody watches, there is no gap."""

    def add(name: str, refused_by: str, cpu_ms: float, gap_ms: float | None = None) -> None:
        record_property(_PROPERTY, [name, refused_by, f"{cpu_ms:.2f}", "" if gap_ms is None else f"{gap_ms:.0f}"])

    return add


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table, the most expensive first; nothing where no attack ran."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == _PROPERTY
    ]
    if not rows:
        return
    rows.sort(key=lambda row: -float(row[2]))
    widths = [max(len(str(row[column])) for row in (_COLUMNS, *rows)) for column in range(len(_COLUMNS))]
    terminalreporter.section("attacks")
    for row in (_COLUMNS, *rows):
        left = (text.ljust(width) for text, width in zip(row[:2], widths[:2], strict=True))
        right = (text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True))
        terminalreporter.line("  ".join((*left, *right)))
