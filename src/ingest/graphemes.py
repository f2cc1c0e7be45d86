"""Where a text must not be cut: inside what a reader sees as one character.

That is an extended grapheme cluster of Unicode's annex 29, which `regex` knows as `\\X`.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

_CLUSTER = regex.compile(r"\X")


def clusters(text: str, start: int, end: int) -> Iterator[int]:
    """Where characters begin in `text[start:end]`, in order; `start` must be such a place."""
    while start < end:
        yield start
        # Matched at the beginning of a text: elsewhere `regex` counts the flags before it, each time.
        found = _CLUSTER.match(text[start:end])
        assert found is not None
        start += found.end()


def is_boundary(text: str, at: int, floor: int) -> bool:
    """Whether `text` may be cut before `text[at]`; `floor` is a known boundary at or before `at`.

    Time is linear in `at - floor`, but for Latin letters.
    """
    if at <= floor or at >= len(text):
        return True
    before, after = text[at - 1], text[at]
    if after < "\u0300" and before < "\u0300":  # Latin and ASCII: nothing here joins but a line end
        return not (before == "\r" and after == "\n")
    # What follows decides nothing about a boundary: one character behind it is enough to see it.
    return any(begin == at for begin in clusters(text, floor, at + 1))
