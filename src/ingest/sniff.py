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

# UTF-32's little-endian mark begins with UTF-16's, so it comes first.
_WIDE = (
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)
_KNOWN_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\xd0\xcf\x11\xe0", "an older Office document"),
    (b"PK\x03\x04", "an Office document or a ZIP archive"),
    (b"{\\rtf", "a Rich Text document"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"\x1f\x8b", "a compressed archive"),
)

_MARKUP_SUFFIXES = frozenset({".html", ".htm", ".xhtml", ".shtml"})
_TAG = re.compile(r"</?[a-z][a-z0-9]*(\s[^<>]*)?/?>", re.IGNORECASE)
# At the start, where Markdown may have a tag of its own but no document of HTML; behind it markup and not a sentence.
_HTML = re.compile(
    r"\ufeff?\s*(?>(?:<\?xml[^>]*>|<!--.*?-->)\s*)*(<!doctype\s+html\b[^>]*>|<html(\s[^>]*)?>)\s*(<|\Z)",
    re.IGNORECASE | re.DOTALL,
)


class ContentType(enum.Enum):
    """The kinds of document that can be read; the value is the MIME type."""

    PDF = "application/pdf"
    TEXT = "text/plain"
    MARKDOWN = "text/markdown"


def sniff(head: bytes, name: str) -> ContentType:
    """The type of the file that begins with `head` (its first `HEAD_BYTES` bytes) and is called `name`.

    Raises DocumentError: EMPTY for no bytes at all, UNSUPPORTED_TYPE for whatever is neither PDF nor text, for HTML,
    whose tags would be quoted as text, and where a name in .pdf promises a PDF that is none.
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
    if _is_html(head, suffix):
        raise DocumentError(ErrorCode.UNSUPPORTED_TYPE, f"{_shown(name)} is an HTML page. {_ACCEPTED}")
    return ContentType.MARKDOWN if suffix in _MARKDOWN_SUFFIXES else ContentType.TEXT


_ACCEPTED = "Upload it as PDF, plain text or Markdown."


def _is_pdf(head: bytes, suffix: str) -> bool:
    at = head.find(b"%PDF-", 0, _PDF_HEADER_WITHIN + len(b"%PDF-"))
    if at <= 0:
        return at == 0
    # Further on, the five bytes may also be a sentence about PDFs in a text file.
    return not (suffix in _TEXT_SUFFIXES and _is_text(head))


def _is_text(head: bytes) -> bool:
    if head.startswith(tuple(mark for mark, _ in _WIDE)):
        return True
    if b"\0" in head:
        return False
    return len(_GARBAGE.findall(head)) <= max(1, int(len(head) * _GARBAGE_SHARE))


def _is_html(head: bytes, suffix: str) -> bool:
    # Which bytes are letters is the same in every encoding that text is in here, but for UTF-16 and UTF-32.
    wide = next((encoding for mark, encoding in _WIDE if head.startswith(mark)), None)
    text = head.decode(wide, errors="ignore") if wide else head.removeprefix(codecs.BOM_UTF8).decode("latin-1")
    return bool(_HTML.match(text) or (suffix in _MARKUP_SUFFIXES and _TAG.search(text)))


def _shown(name: str) -> str:
    """The client's own file name, fit for one line of a message."""
    printable = "".join(character for character in name if character.isprintable()).strip()
    if not printable:
        return "The file"
    return printable if len(printable) <= 100 else f"{printable[:80]}…{printable[-19:]}"
