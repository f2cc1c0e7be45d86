"""What counts as text."""

from __future__ import annotations

import unicodedata


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold it: no NUL, no lone surrogates."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def is_blank(text: str) -> bool:
    """Whether a reader would see nothing: separators, control and format characters alone."""
    return all(unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Zs") for character in text)
