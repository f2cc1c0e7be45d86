"""What a file is, by its first bytes. Its name and the type that the client declared are hints, never proof."""

from __future__ import annotations

import codecs
import enum
import re
from pathlib import PurePath

from core.errors import DocumentError, ErrorCode

HEAD_BYTES = 4096
"""How much of a file `sniff` wants to see; more is welcome, less is enough only for a shorter file."""

_PDF_HEADER_WITHIN = 1024  # bytes; PDF 1.7's implementation note 13, which every reader follows
_MARKDOWN_SUFFIXES = frozenset({".md", ".markdown", ".mdown", ".mkd"})
_TEXT_SUFFIXES = frozenset({".txt", ".text", ".log", ".csv", ".rst"}) | _MARKDOWN_SUFFIXES
# Everything below space but tab, line feed, vertical tab, form feed, carriage return and escape; and delete.
_GARBAGE = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_GARBAGE_SHARE = 0.01
"""A stray Ctrl-Z from DOS is text; compressed data has about a tenth of its bytes there."""

_KNOWN_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\xd0\xcf\x11\xe0", "an older Office document"),
    (b"PK\x03\x04", "an Office document or a ZIP archive"),
    (b"{\\rtf", "a Rich Text document"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"\x1f\x8b", "a compressed archive"),
)


class ContentType(enum.Enum):
    """The kinds of document that can be read; the value is the MIME type."""

    PDF = "application/pdf"
    TEXT = "text/plain"
    MARKDOWN = "text/markdown"


def sniff(head: bytes, name: str) -> ContentType:
    """The type of the file that begins with `head` (its first `HEAD_BYTES` bytes) and is called `name`.

    Raises DocumentError: EMPTY for no bytes at all, UNSUPPORTED_TYPE for whatever is neither PDF nor text, also where a
    name in .pdf promises a PDF that is none.
    """
    if not head:
        raise DocumentError(ErrorCode.EMPTY, f"{_shown(name)} is empty (0 bytes).")
    suffix = PurePath(name.lower()).suffix
    if _is_pdf(head, suffix):
        return ContentType.PDF
    if suffix == ".pdf":
        raise DocumentError(ErrorCode.UNSUPPORTED_TYPE, f"{_shown(name)} is named .pdf but is not a PDF.")
    for magic, kind in _KNOWN_OTHERS:
        if head.startswith(magic):
            raise DocumentError(ErrorCode.UNSUPPORTED_TYPE, f"{_shown(name)} is {kind}. {_ACCEPTED}")
    if not _is_text(head):
        raise DocumentError(ErrorCode.UNSUPPORTED_TYPE, f"{_shown(name)} is not a PDF or a text file. {_ACCEPTED}")
    return ContentType.MARKDOWN if suffix in _MARKDOWN_SUFFIXES else ContentType.TEXT


_ACCEPTED = "Upload it as PDF, plain text or Markdown."


def _is_pdf(head: bytes, suffix: str) -> bool:
    at = head.find(b"%PDF-", 0, _PDF_HEADER_WITHIN + len(b"%PDF-"))
    if at <= 0:
        return at == 0
    # Further on, the five bytes may also be a sentence about PDFs in a text file.
    return not (suffix in _TEXT_SUFFIXES and _is_text(head))


def _is_text(head: bytes) -> bool:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return True
    if b"\0" in head:
        return False
    return len(_GARBAGE.findall(head)) <= max(1, int(len(head) * _GARBAGE_SHARE))


def _shown(name: str) -> str:
    """The client's own file name, fit for one line of a message."""
    printable = "".join(character for character in name if character.isprintable()).strip()
    if not printable:
        return "The file"
    return printable if len(printable) <= 100 else f"{printable[:80]}…{printable[-19:]}"
