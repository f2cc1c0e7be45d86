"""Where a text must not be cut: inside what a reader sees as one character.

The rules are those of Unicode's annex 29 (extended grapheme clusters), read from the properties that `unicodedata` has.
Where these are coarser than the annex's own tables, a boundary is refused rather than allowed: a chunk may be a little
shorter, an accent never loses its letter.
"""

from __future__ import annotations

import unicodedata

_EXTENDING = frozenset({"Mn", "Me", "Mc"})
_CONTROL = frozenset({"Cc", "Zl", "Zp"})
_JOINER = "\u200d"
_VIRAMA = 9  # the combining class of the signs that join two consonants in Indic scripts
# Signs that belong to the letter after them: number signs of Arabic and others (Grapheme_Cluster_Break=Prepend).
_PREPENDED = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e"
    "\U000110bd\U000110cd\U000111c2\U000111c3\U0001193f\U00011941\U00011a3a"
    "\U00011a84\U00011a85\U00011a86\U00011a87\U00011a88\U00011a89\U00011d46\U00011f02"
)


def is_boundary(text: str, at: int, floor: int) -> bool:
    """Whether `text` may be cut before `text[at]`; `floor` is a known boundary at or before `at`."""
    if at <= floor or at >= len(text):
        return True
    before, after = text[at - 1], text[at]
    if after < "\u0300" and before < "\u0300":  # Latin and ASCII: nothing here joins but a line end
        return not (before == "\r" and after == "\n")
    category = unicodedata.category(after)
    if unicodedata.category(before) in _CONTROL or category in _CONTROL:
        return True
    if category in _EXTENDING or _extends(after) or before in _PREPENDED:
        return False
    if before == _JOINER:
        return after.isspace()
    if category == "Lo" and (unicodedata.combining(before) == _VIRAMA or _hangul_joins(before, after)):
        return False
    if _is_regional(before) and _is_regional(after):
        return _flag_letters_before(text, at, floor) % 2 == 0
    return True


def _extends(character: str) -> bool:
    return (
        character in "\u200c\u200d\u0e33\u0eb3\uff9e\uff9f"
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= character <= "\U000e007f"  # tags of sub-regions' flags
    )


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flag_letters_before(text: str, at: int, floor: int) -> int:
    start = at
    while start > floor and _is_regional(text[start - 1]):
        start -= 1
    return at - start


def _hangul_joins(before: str, after: str) -> bool:
    """Leading consonants, vowels and trailing consonants that make up one syllable."""
    kind_before, kind_after = _hangul(before), _hangul(after)
    if not kind_before or not kind_after:
        return False
    return kind_after in "VT" or (kind_before == "L" and kind_after in "LS")


def _hangul(character: str) -> str:
    """L, V or T for a conjoining letter, S for a whole syllable, else nothing."""
    if "\uac00" <= character <= "\ud7a3":
        return "S"
    if "\u1100" <= character <= "\u115f" or "\ua960" <= character <= "\ua97c":
        return "L"
    if "\u1160" <= character <= "\u11a7" or "\ud7b0" <= character <= "\ud7c6":
        return "V"
    return "T" if "\u11a8" <= character <= "\u11ff" or "\ud7cb" <= character <= "\ud7fb" else ""
