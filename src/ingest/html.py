"""HTML files: their encoding, whatever they declare, and their text."""

from __future__ import annotations

import re

from core.errors import ErrorCode
from ingest.markup import from_html, from_xhtml
from ingest.markup_text import MarkupText
from ingest.pages import ParsedPage
from ingest.refusal import Refusal
from ingest.text import cleaned, decode

_DECLARATION_WITHIN = 1024  # bytes; HTML's own rule
_CHARSET = re.compile(
    rb"""<(?:meta\b[^>]*?\bcharset|\?xml\b[^>]*?\bencoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE
)
_XHTML = re.compile(r"\ufeff?\s*<\?xml\b.{0,1000}?<html\b[^>]{0,1000}\bxmlns=", re.DOTALL | re.IGNORECASE)
_WORDLIKE = re.compile(r"[^\W_]")


def read_html(data: bytes, max_chars: int) -> tuple[ParsedPage, str]:
    """The whole document as one page without a number, and its encoding.

    The source map leads back to the text that was found among the markup.
    Raises Refusal: CORRUPT where no encoding fits, TOO_LARGE beyond `max_chars` code points of text, EMPTY, and NO_TEXT
    where there are pictures or programs but no word.
    """
    declared = _CHARSET.search(data, 0, _DECLARATION_WITHIN)
    text, encoding = decode(data, declared.group(1).decode("ascii") if declared else "")
    found = from_xhtml(text, max_chars) if _XHTML.match(text) else from_html(text, max_chars)
    return with_words(found), encoding


def with_words(found: MarkupText) -> ParsedPage:
    """The cleaned text of a document without pages. Raises Refusal: EMPTY, NO_TEXT."""
    page = cleaned(None, found.text)
    if not _WORDLIKE.search(page.text):
        raise Refusal(ErrorCode.NO_TEXT if found.has_pictures else ErrorCode.EMPTY)
    return page
