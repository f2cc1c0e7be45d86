"""Text and Markdown files: their encoding, and their cleaned text. Markdown is kept as it is written."""

from __future__ import annotations

import codecs
import re

from core.errors import ErrorCode
from ingest.assembly import Assembly
from ingest.encodings import BEYOND_ASCII, legacy_encoding
from ingest.pages import ParsedPage
from ingest.refusal import Refusal

# UTF-32's little-endian mark begins with UTF-16's, so it comes first.
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_STRAY = 0.4
"""Bytes that make sense in no encoding are damage in plain text while they are no more than this share of the file."""
_TAG = re.compile(rb"<[^<>]*>")
_LINE_END = re.compile("\r\n?")


def read_text(data: bytes, max_chars: int) -> tuple[ParsedPage, str]:
    """The whole file as one page without a number, and its encoding.

    The source map leads back to the decoded text, its line ends already `\\n`.
    Raises Refusal: EMPTY where nothing but white space is in it, CORRUPT where no encoding fits, TOO_LARGE beyond
    `max_chars` code points.
    """
    decoded, encoding = decode(data)
    if len(decoded) > max_chars:
        raise Refusal(ErrorCode.TOO_LARGE, max_chars)
    page = cleaned(None, decoded)
    if not page.text or page.text.isspace():
        raise Refusal(ErrorCode.EMPTY)
    return page, encoding


def cleaned(number: int | None, text: str) -> ParsedPage:
    """A page of written text: line ends are `\\n`, and what PostgreSQL or a reader could do nothing with is gone."""
    assembly = Assembly()
    assembly.clean(_LINE_END.sub("\n", text))
    return ParsedPage(number, assembly.text, assembly.source_map)


def decode(data: bytes, declared: str | None = None) -> tuple[str, str]:
    """The text and the encoding's Python name: by byte order mark, as UTF-8, then by its statistics.

    `declared` is the name that markup gives to its encoding, empty for none: a hint for the statistics.
    Raises Refusal: CORRUPT where no encoding fits.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace"), encoding
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    damaged = data.decode("utf-8", errors="replace")
    bad = damaged.count("\ufffd")
    beyond_ascii = sum(1 for character in damaged if character > "\x7f") - bad
    # In texts of other encodings there are at least twice as many.
    if bad <= beyond_ascii:
        return damaged, "utf-8"
    # What markup declares is not to be counted among its words.
    legacy = legacy_encoding(data if declared is None else _TAG.sub(b" ", data), _known(declared))
    if legacy is not None:
        return data.decode(legacy, errors="replace"), legacy
    if len(BEYOND_ASCII.findall(data)) <= len(data) * _STRAY:
        return damaged, "utf-8"
    raise Refusal(ErrorCode.CORRUPT)


def _known(declared: str | None) -> str | None:
    """Python's name of a declared encoding; None where it says nothing."""
    if declared is None:
        return None
    try:
        found = codecs.lookup(declared)
    except (LookupError, ValueError):
        return None
    # Codecs that make no text of bytes are found by name, too.
    if not found._is_text_encoding:
        return None
    # What calls itself Latin-1 or ASCII is read as Windows-1252 by every browser.
    return "cp1252" if found.name in ("iso8859-1", "ascii") else found.name
