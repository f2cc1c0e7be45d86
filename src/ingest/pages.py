"""What reading a document gives, and the limits it is read under."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024

Run = tuple[int, int, int]
"""`(start, end, original start)`: text[start:end] was copied from the extracted text at `original start`.

All three count Unicode code points. What lies between two runs was changed: a ligature written out, a hyphen at a
line's end taken away, an empty line put between two paragraphs.
"""


@dataclass(frozen=True, slots=True)
class ParserLimits:
    """What one document may cost. The defaults are the settings'; see `core.settings`."""

    max_pages: int = 5_000
    wall_seconds: float = 120.0
    """Seconds the parser may keep us waiting; time that the consumer spends between two pages does not count."""
    memory_bytes: int = 1024 * MEBIBYTE
    """Address space on top of what the started parser itself takes (about 230 MB with PyMuPDF loaded)."""
    max_chars: int = 32 * MEBIBYTE
    """Code points of text in the whole document: twice a 5,000-page book of 3,000 characters a page."""


@dataclass(frozen=True, slots=True)
class DocumentOpened:
    """The first event of every document that can be opened."""

    pages: int | None
    """None where the file has no pages (all but PDF and EPUB, whose pages are chapters); one `ParsedPage` follows."""
    encoding: str | None
    """How a file of text, HTML or CSV was encoded, by Python's name; None for what is packed."""


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """One page's cleaned text: no NUL, no lone surrogate, lines ending in `\\n`. It may be empty (a picture)."""

    number: int | None
    """Counts from 1; None where the file has no pages, then the text is the whole document's."""
    text: str
    source_map: list[Run]
    """Sorted runs; see `Run`. One run for text that needed no change."""
