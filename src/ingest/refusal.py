"""Why a document is refused: a code that the parser's process sends, and the words that a client reads.

The parser's process sends a code and a number, never words: what a hostile document makes it say reaches nobody.
"""

from __future__ import annotations

from core.errors import DocumentError, ErrorCode
from ingest.sniff import ContentType


class Refusal(Exception):
    """Inside the parser's process: this document cannot be read. `number` is the count that it is about."""

    def __init__(self, code: ErrorCode, number: int | None = None) -> None:
        super().__init__(code.value)
        self.code = code
        self.number = number


_NOUNS = {
    ContentType.PDF: "PDF",
    ContentType.HTML: "HTML page",
    ContentType.CSV: "CSV file",
    ContentType.DOCX: "Word document",
    ContentType.EPUB: "EPUB",
}
_PACKED = (ContentType.PDF, ContentType.DOCX, ContentType.EPUB)
"""The others are text, and are damaged where nothing can be made of their bytes."""


def document_error(code: ErrorCode, content_type: ContentType, number: int | None = None) -> DocumentError:
    """The error that a client sees. `number`: the page for CORRUPT, its pages for TOO_MANY_PAGES."""
    what = _NOUNS.get(content_type, "text file")
    page = "chapter" if content_type is ContentType.EPUB else "page"
    match code:
        case ErrorCode.ENCRYPTED if content_type is ContentType.EPUB:
            text = "This EPUB is protected against copying. Upload a copy of it without protection."
        case ErrorCode.ENCRYPTED:
            text = f"This {what} is protected by a password. Remove the password and upload it again."
        case ErrorCode.NO_TEXT if content_type is ContentType.HTML:
            text = (
                "No text was found in this HTML page: it has pictures alone, or a program fills it in. Print it to PDF "
                "in a browser and upload the result."
            )
        case ErrorCode.NO_TEXT:
            text = (
                f"No text was found in this {what}. If its pages are scans or pictures, run text recognition (OCR) on "
                "it and upload the result."
            )
        case ErrorCode.EMPTY if content_type in (ContentType.PDF, ContentType.EPUB):
            text = f"This {what} has no {page}s, or nothing is on them."
        case ErrorCode.EMPTY:
            text = f"This {what} is empty or has nothing but white space."
        case ErrorCode.TOO_MANY_PAGES if number is not None:
            text = (
                f"This {what} has {number:,} {page}s, which is more than are accepted. Split it and upload the parts."
            )
        case ErrorCode.TOO_MANY_PAGES:
            text = f"This {what} has more {page}s than are accepted. Split it and upload the parts."
        case ErrorCode.TOO_LARGE if number is not None:
            text = f"This {what} has more than {number:,} characters of text. Split it and upload the parts."
        case ErrorCode.TOO_LARGE:
            text = f"Reading this {what} takes more memory than is allowed. Split it and upload the parts."
        case ErrorCode.TIMED_OUT:
            text = f"Reading this {what} took too long and was stopped. Save it anew or split it, and upload it again."
        case ErrorCode.UNSUPPORTED_TYPE:
            text = f"This file is named or packed as {_with_article(what)}, but it is none."
        case ErrorCode.CORRUPT if number is not None:
            text = (
                f"This {what} is damaged: {page} {number:,} cannot be read. Save or export it anew and upload it again."
            )
        case ErrorCode.CORRUPT if content_type in _PACKED:
            text = (
                f"This {what} is damaged or incomplete and cannot be read. Save or export it anew and upload it again."
            )
        case ErrorCode.CORRUPT if content_type is ContentType.HTML:
            text = (
                "This HTML page cannot be read: its encoding cannot be told, or it declares entities of its own. Save "
                "it anew as UTF-8 and upload it again."
            )
        case ErrorCode.CORRUPT:
            text = f"The encoding of this {what} cannot be told. Save it as UTF-8 and upload it again."
        case _:
            code, text = ErrorCode.INTERNAL, "The document could not be read because of an internal error. Try again."
    retryable = code in (ErrorCode.TIMED_OUT, ErrorCode.INTERNAL)
    return DocumentError(code, text, retryable=retryable)


def _with_article(what: str) -> str:
    return f"an {what}" if what[0] in "AEHIO" else f"a {what}"
