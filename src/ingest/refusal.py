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


def document_error(code: ErrorCode, content_type: ContentType, number: int | None = None) -> DocumentError:
    """The error that a client sees. `number`: the page for CORRUPT, its pages for TOO_MANY_PAGES."""
    what = "PDF" if content_type is ContentType.PDF else "text file"
    match code:
        case ErrorCode.ENCRYPTED:
            text = "This PDF is protected by a password. Remove the password and upload it again."
        case ErrorCode.NO_TEXT:
            text = (
                "No text was found in this PDF. If its pages are scans or pictures, run text recognition (OCR) on it "
                "and upload the result."
            )
        case ErrorCode.EMPTY if content_type is ContentType.PDF:
            text = "This PDF has no pages, or nothing is on them."
        case ErrorCode.EMPTY:
            text = "This text file is empty or has nothing but white space."
        case ErrorCode.TOO_MANY_PAGES if number is not None:
            text = f"This PDF has {number:,} pages, which is more than are accepted. Split it and upload the parts."
        case ErrorCode.TOO_MANY_PAGES:
            text = "This PDF has more pages than are accepted. Split it and upload the parts."
        case ErrorCode.TOO_LARGE if number is not None:
            text = f"This {what} has more than {number:,} characters of text. Split it and upload the parts."
        case ErrorCode.TOO_LARGE:
            text = f"Reading this {what} takes more memory than is allowed. Split it and upload the parts."
        case ErrorCode.TIMED_OUT:
            text = f"Reading this {what} took too long and was stopped. Save it anew or split it, and upload it again."
        case ErrorCode.CORRUPT if number is not None:
            text = (
                f"This {what} is damaged: page {number:,} cannot be read. Save or export it anew and upload it again."
            )
        case ErrorCode.CORRUPT if content_type is ContentType.PDF:
            text = "This PDF is damaged or incomplete and cannot be read. Save or export it anew and upload it again."
        case ErrorCode.CORRUPT:
            text = "The encoding of this text file cannot be told. Save it as UTF-8 and upload it again."
        case _:
            code, text = ErrorCode.INTERNAL, "The document could not be read because of an internal error. Try again."
    retryable = code in (ErrorCode.TIMED_OUT, ErrorCode.INTERNAL)
    return DocumentError(code, text, retryable=retryable)
