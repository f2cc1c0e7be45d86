"""A model's text as it can be stored and sent, whatever pieces it comes in."""

from __future__ import annotations

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class WholeText:
    """Puts together what was cut within a character, and leaves out what no text may have.

    JSON writes a character outside of the basic plane as two escapes, a surrogate pair (RFC 8259, 7); a model's server
    that cuts its text by UTF-16 units sends each in a piece of its own. Half of a pair whose other half does not come
    is U+FFFD. NUL, which PostgreSQL refuses, is left out.
    """

    def __init__(self) -> None:
        self._half = ""

    def take(self, piece: str) -> str:
        """What can be told of the text up to this piece, and has not been told."""
        if "\0" in piece:
            piece = piece.replace("\0", "")
        if piece.isascii() and not self._half:
            return piece
        text, self._half = self._half + piece, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def end(self) -> str:
        """What is left when no more comes."""
        rest, self._half = self._half, ""
        return REPLACEMENT if rest else ""
