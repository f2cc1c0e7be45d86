"""What counts as text."""

from __future__ import annotations

import unicodedata


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold it: no NUL, no lone surrogates."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def is_blank(text: str) -> bool:
    """Whether a reader would see nothing: separators, control and format characters alone."""
    return all(unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Zs") for character in text)


def is_printable(text: str) -> bool:
    """Whether all of it can be shown in one line. The joiners count: Persian and some emoji are written with them."""
    return all(character.isprintable() or character in "\u200c\u200d" for character in text)


def is_name(text: str, at_most: int) -> bool:
    """Whether it is between 1 and so many printable characters, and not all of them invisible."""
    return len(text.strip()) <= at_most and is_printable(text) and not is_blank(text)
