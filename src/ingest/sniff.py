"""What a file is, by its first bytes. Its name and the type that the client declared are hints, never proof."""

from __future__ import annotations

import codecs
import enum
import re
from pathlib import PurePath

import puremagic

from core.errors import DocumentError, ErrorCode

HEAD_BYTES = 4096
"""How much of a file `sniff` wants to see; more is welcome, less is enough only for a shorter file."""

_PDF_HEADER_WITHIN = 1024  # bytes; PDF 1.7's implementation note 13, which every reader follows
_MARKDOWN_SUFFIXES = frozenset({".md", ".markdown", ".mdown", ".mkd"})
_TEXT_SUFFIXES = frozenset({".txt", ".text", ".log", ".csv", ".tsv", ".rst"}) | _MARKDOWN_SUFFIXES
# Everything below space but tab, line feed, vertical tab, form feed, carriage return and escape; and delete.
_GARBAGE = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_GARBAGE_SHARE = 0.01
"""A stray Ctrl-Z from DOS is text; compressed data has about a tenth of its bytes there."""

# UTF-32's little-endian mark begins with UTF-16's, so it comes first.
_WIDE = (
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)
_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_RTF = b"{\\rtf"
_MIMETYPE = b"mimetype"  # the first entry of an EPUB or an OpenDocument file, not compressed
_WORD_SUFFIXES = frozenset({".docx", ".docm", ".dotx", ".dotm"})
_CSV_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})
_SURE = 0.3
"""Of a binary file's kind: three bytes of a signature. With two, rubbish has a name in every hundredth file."""
_KINDS = (
    (re.compile("image/"), "an image"),
    (re.compile("audio/"), "a sound recording"),
    (re.compile("video/"), "a video"),
    (re.compile(r"application/(msword|vnd\.ms-)"), "an older Office document"),
    (re.compile(r"application/(x-)?(gzip|7z|rar|bzip|xz|tar|zip|compress|lz|zstd)"), "a compressed archive"),
)

_MARKUP_SUFFIXES = frozenset({".html", ".htm", ".xhtml", ".shtml"})
_TAG = re.compile(r"</?[a-z][a-z0-9]*(\s[^<>]*)?/?>|<!(--|doctype\b)", re.IGNORECASE)
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
    HTML = "text/html"
    CSV = "text/csv"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    EPUB = "application/epub+zip"


def sniff(head: bytes, name: str) -> ContentType:
    """The type of the file that begins with `head` (its first `HEAD_BYTES` bytes) and is called `name`.

    What is in an archive is told by the names that stand in its head, and only where these say nothing by its own:
    the parser, which opens it, may still find that it is something else. So may it for rows of a CSV, which are told
    from other text by the file's name.
    Raises DocumentError: EMPTY for no bytes at all, UNSUPPORTED_TYPE for whatever else it is, and where a name in .pdf
    promises a PDF that is none.
    """
    if not head:
        raise DocumentError(ErrorCode.EMPTY, f"{_shown(name)} is empty (0 bytes).")
    suffix = PurePath(name.lower()).suffix
    if _is_pdf(head, suffix):
        return ContentType.PDF
    if suffix == ".pdf":
        raise DocumentError(ErrorCode.UNSUPPORTED_TYPE, f"{_shown(name)} is named .pdf but is not a PDF.")
    if head.startswith(_ZIP):
        return _archive(head, name, suffix)
    if head.startswith(_OLE) and (suffix in _WORD_SUFFIXES or _ENCRYPTED in head):
        # How Office packs a document that has a password.
        return ContentType.DOCX
    if head.startswith(_RTF):
        raise _refused(name, "is a Rich Text document")
    if not _is_text(head):
        kind = _kind(head)
        raise _refused(name, f"is {kind}" if kind else "is not a document of a kind that can be read")
    if _is_html(head, suffix):
        return ContentType.HTML
    if suffix in _CSV_SUFFIXES:
        return ContentType.CSV
    return ContentType.MARKDOWN if suffix in _MARKDOWN_SUFFIXES else ContentType.TEXT


def _refused(name: str, reason: str) -> DocumentError:
    return DocumentError(
        ErrorCode.UNSUPPORTED_TYPE,
        f"{_shown(name)} {reason}. Upload it as PDF, Word (.docx), EPUB, HTML, CSV, Markdown or plain text.",
    )


def _archive(head: bytes, name: str, suffix: str) -> ContentType:
    """Which kind of document is in a ZIP archive."""
    entries = _entries(head)
    if entries and entries[0] == _MIMETYPE:
        if _kind_matches(head, ContentType.EPUB.value):
            return ContentType.EPUB
        if b"opendocument" in head[:128]:
            raise _refused(name, "is an OpenDocument file")
    for folder, kind in ((b"xl/", "a spreadsheet"), (b"ppt/", "a presentation")):
        if any(entry.startswith(folder) for entry in entries):
            raise _refused(name, f"is {kind}")
    if suffix in _WORD_SUFFIXES or any(entry.startswith(b"word/") for entry in entries):
        return ContentType.DOCX
    if suffix == ".epub":
        return ContentType.EPUB
    raise _refused(name, "is a ZIP archive")


def _entries(head: bytes) -> list[bytes]:
    """The names of the first entries of a ZIP archive."""
    names: list[bytes] = []
    at = head.find(_ZIP)
    while at >= 0:
        length = int.from_bytes(head[at + 26 : at + 28], "little")
        names.append(head[at + 30 : at + 30 + length])
        at = head.find(_ZIP, at + len(_ZIP))
    return names


def _kind_matches(head: bytes, mime_type: str) -> bool:
    return any(match.mime_type == mime_type for match in _matches(head))


def _kind(head: bytes) -> str | None:
    """In words, what a file is that is no text."""
    for match in _matches(head):
        for pattern, words in _KINDS:
            if pattern.match(match.mime_type):
                return words
    return None


def _matches(head: bytes) -> list[puremagic.PureMagicWithConfidence]:
    try:
        return [match for match in puremagic.magic_string(head) if match.confidence >= _SURE]
    except puremagic.PureError:
        return []


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
