"""Text out of a PDF with PyMuPDF. Only the parser's process imports this module (docs/decisions/pymupdf.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymupdf

from core.errors import ErrorCode
from ingest.columns import in_reading_order
from ingest.layout import Line, compose
from ingest.pages import DocumentOpened, ParsedPage, ParserLimits
from ingest.refusal import Refusal
from ingest.running import PageLines, without_running
from ingest.tables import in_rows

_mupdf: Any = pymupdf  # its annotations are incomplete
_mupdf.TOOLS.mupdf_display_errors(False)
_mupdf.TOOLS.mupdf_display_warnings(False)

# Ligatures are kept for `compose`, which writes them out and keeps the map. Neither images nor the glyph numbers of
# fonts without a Unicode table are text.
_FLAGS = _mupdf.TEXT_PRESERVE_LIGATURES | _mupdf.TEXT_PRESERVE_WHITESPACE | _mupdf.TEXT_MEDIABOX_CLIP
_TAIL_BYTES = 4096
_WORDLIKE = re.compile(r"[^\W_]")
_UNREADABLE_SHARE = 0.3
"""Of a page's characters: with more U+FFFD than this, its fonts do not say what their glyphs mean."""


def read_pdf(path: Path, limits: ParserLimits) -> Iterator[DocumentOpened | ParsedPage]:
    """The number of pages, then each page's text in order, without what is the same on all of them.

    Raises Refusal: ENCRYPTED, CORRUPT (with the page where one is to blame), EMPTY without pages, TOO_MANY_PAGES,
    TOO_LARGE beyond `limits.max_chars`, and NO_TEXT after the last page where there was no word on any of them.
    MemoryError where the process's limit is reached.
    """
    document = _open(path)
    pages = _page_count(document)
    if pages > limits.max_pages:
        raise Refusal(ErrorCode.TOO_MANY_PAGES, pages)
    if pages == 0:
        raise Refusal(ErrorCode.CORRUPT if _is_truncated(document, path) else ErrorCode.EMPTY)
    if _is_truncated(document, path):
        raise Refusal(ErrorCode.CORRUPT)
    yield DocumentOpened(pages, None)
    characters = 0
    has_words = False
    for content in without_running(_page_lines(document, number) for number in range(1, pages + 1)):
        page = compose(content.number, in_rows(in_reading_order(content.lines)))
        if page.text.count("\ufffd") > _UNREADABLE_SHARE * len(page.text):
            page = ParsedPage(content.number, "", [])
        characters += len(page.text)
        if characters > limits.max_chars:
            raise Refusal(ErrorCode.TOO_LARGE, limits.max_chars)
        has_words = has_words or _WORDLIKE.search(page.text) is not None
        yield page
    if not has_words:
        raise Refusal(ErrorCode.NO_TEXT)


def _open(path: Path) -> Any:
    try:
        document: Any = _mupdf.open(path, filetype="pdf")
    except Exception as error:
        _raise_if_memory(error)
        raise Refusal(ErrorCode.CORRUPT) from error
    # With only an owner's password it opens with the empty one, which has been tried by now.
    if document.needs_pass and not document.authenticate(""):
        raise Refusal(ErrorCode.ENCRYPTED)
    return document


def _page_count(document: Any) -> int:
    try:
        return int(document.page_count)
    except Exception as error:
        _raise_if_memory(error)
        raise Refusal(ErrorCode.CORRUPT) from error


def _is_truncated(document: Any, path: Path) -> bool:
    """Whether the file's end is missing. What is left may still open after repair, with blanks where pages were."""
    if not document.is_repaired:
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return b"%%EOF" not in file.read()


def _page_lines(document: Any, number: int) -> PageLines:
    try:
        content = document.load_page(number - 1).get_text("dict", flags=_FLAGS)
    except Exception as error:
        _raise_if_memory(error)
        raise Refusal(ErrorCode.CORRUPT, number) from error
    lines = [
        _line(line, index)
        for index, block in enumerate(content["blocks"])
        for line in block.get("lines", ())
        if line["spans"]
    ]
    return PageLines(number, content["height"], lines)


def _line(line: dict[str, Any], block: int) -> Line:
    main = max(line["spans"], key=lambda span: len(span["text"]))
    x0, y0, x1, y1 = line["bbox"]
    return Line(
        text="".join(span["text"] for span in line["spans"]),
        x0=x0,
        y0=y0,
        x1=x1,
        y1=y1,
        # Code within a sentence is often set smaller, whole lines of it too but for a word.
        size=max(span["size"] for span in line["spans"] if len(span["text"].strip()) > 1 or span is main),
        baseline=main["origin"][1],
        block=block,
        bold=all(span["flags"] & _mupdf.TEXT_FONT_BOLD for span in line["spans"] if not span["text"].isspace()),
        horizontal=line["dir"][0] > 0.99,
    )


def _raise_if_memory(error: Exception) -> None:
    """MuPDF reports a refused allocation in words."""
    if isinstance(error, MemoryError) or "malloc" in str(error) or "alloc" in str(error):
        raise MemoryError from error
