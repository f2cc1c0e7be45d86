"""What counts as text."""

from __future__ import annotations

from typing import Final

import regex

from resolvers.results import InvalidInput

_INVISIBLE: Final = regex.compile(r"[\p{Cc}\p{Cf}\p{Z}\p{Default_Ignorable_Code_Point}\u2800\ufffc\U0001d159]*")
"""Control, format and separator characters, those that Unicode says to show nothing for (the fillers of Hangul, the
selectors of variants), and two that it calls symbols: an empty pattern of Braille, and a note without a head."""


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold it: no NUL, no lone surrogates."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def is_blank(text: str) -> bool:
    """Whether a reader would see nothing."""
    return _INVISIBLE.fullmatch(text) is not None


def is_printable(text: str) -> bool:
    """Whether all of it can be shown in one line. The joiners count: Persian and some emoji are written with them."""
    return all(character.isprintable() or character in "\u200c\u200d" for character in text)


def refused_name(text: str, at_most: int, field: str = "name") -> InvalidInput | None:
    """Why this is no name: it has between 1 and so many printable characters, and not all of them are invisible."""
    if (length := len(text.strip())) > at_most:
        return InvalidInput(f"A name has at most {at_most} characters; this one has {length}.", field)
    if is_blank(text) or not is_printable(text):
        return InvalidInput(f"A name has between 1 and {at_most} printable characters.", field)
    return None
