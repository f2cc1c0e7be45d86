"""Text in pieces: the same as in one, wherever it was cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answers.whole_text import WholeText


def put_together(pieces: list[str]) -> str:
    """All that is told, each piece of which can be stored."""
    whole = WholeText()
    told = [*(whole.take(piece) for piece in pieces), whole.end()]
    for piece in told:
        piece.encode()
        assert "\0" not in piece
    return "".join(told)


@given(st.text(), st.lists(st.integers(0, 400)))
def test_a_text_that_is_cut_by_utf_16_units_is_whole_again(text: str, cuts: list[int]) -> None:
    units = text.encode("utf-16-le", "surrogatepass")
    places = sorted({0, len(units) // 2, *(min(cut, len(units) // 2) for cut in cuts)})
    pieces = [
        units[2 * start : 2 * end].decode("utf-16-le", "surrogatepass") for start, end in itertools.pairwise(places)
    ]
    assert put_together(pieces) == text.replace("\0", "")


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        (["a\x00b"], "ab"),
        (["c\ud800d"], "c\ufffdd"),
        (["c\ud800", "d"], "c\ufffdd"),
        (["c\ud800", "", "\udc00"], "c\U00010000"),
        (["\ud83d", "\ud83d", "\ude00"], "\ufffd\U0001f600"),
        (["\udc00", "x\ud83d"], "\ufffdx\ufffd"),
        ([], ""),
    ],
)
def test_half_a_character_is_told_as_missing(pieces: list[str], told: str) -> None:
    assert put_together(pieces) == told
