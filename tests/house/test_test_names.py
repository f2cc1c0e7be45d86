"""Test files stand in no packages, so their names are one another's only difference."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_no_two_test_files_have_one_name() -> None:
    names = Counter(path.name for path in TESTS.glob("*/**/test_*.py") if "node_modules" not in path.parts)
    assert [name for name, count in names.items() if count > 1] == []
