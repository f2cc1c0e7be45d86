"""EPUB books: the chapters in the order of the spine, each a page. Only the parser's process imports this module."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from zipfile import ZipFile

from lxml import etree

from core.errors import ErrorCode
from ingest.archive import open_archive, read_part
from ingest.markup import from_html, from_xhtml
from ingest.markup_text import MarkupText
from ingest.pages import DocumentOpened, ParsedPage, ParserLimits
from ingest.refusal import Refusal
from ingest.text import cleaned, decode

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_TEXT_TYPES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"})
# Every chapter says the book's title there.
_NO_TEXT_OF_A_CHAPTER = frozenset({"title"})
_DECLARED = re.compile(rb"""<\?xml\b[^>]*?\bencoding\s*=\s*["']([\w.-]+)""")
_DECLARATION = re.compile(r"\s*<\?xml\b[^>]*\?>")
_ROOT = re.compile(r"<html\b|<body\b", re.IGNORECASE)
_WORDLIKE = re.compile(r"[^\W_]")


def read_epub(path: Path, limits: ParserLimits) -> Iterator[DocumentOpened | ParsedPage]:
    """The number of chapters, then each one's text in the order of the spine; a picture's is empty.

    Raises Refusal: UNSUPPORTED_TYPE where it is an archive and no EPUB, ENCRYPTED where its chapters are, CORRUPT (with
    the chapter where one is to blame), EMPTY without chapters, TOO_MANY_PAGES, TOO_LARGE, and NO_TEXT after the last
    chapter where there was no word in any of them.
    """
    with open_archive(path) as archive:
        chapters = _spine(archive)
        if not chapters:
            raise Refusal(ErrorCode.EMPTY)
        if len(chapters) > limits.max_pages:
            raise Refusal(ErrorCode.TOO_MANY_PAGES, len(chapters))
        if _is_protected(archive, {name for name, _ in chapters}):
            raise Refusal(ErrorCode.ENCRYPTED)
        yield DocumentOpened(len(chapters), None)
        left = limits.max_chars
        has_words = False
        for number, (name, media_type) in enumerate(chapters, 1):
            page = ParsedPage(number, "", [])
            if media_type in _TEXT_TYPES:
                try:
                    page = cleaned(number, _chapter(archive, name, left).text)
                except (KeyError, Refusal) as error:
                    if isinstance(error, Refusal) and error.code is not ErrorCode.CORRUPT:
                        raise _of_the_whole(error, limits) from error
                    raise Refusal(ErrorCode.CORRUPT, number) from error
            left -= len(page.text)
            has_words = has_words or _WORDLIKE.search(page.text) is not None
            yield page
        if not has_words:
            raise Refusal(ErrorCode.NO_TEXT)


def _of_the_whole(refusal: Refusal, limits: ParserLimits) -> Refusal:
    """What was too much for the rest of the document was too much for the document."""
    return Refusal(refusal.code, refusal.number if refusal.number is None else limits.max_chars)


def _spine(archive: ZipFile) -> list[tuple[str, str]]:
    """The chapters' names in the archive and their media types. Raises Refusal: UNSUPPORTED_TYPE, CORRUPT."""
    if _CONTAINER not in archive.namelist():
        raise Refusal(ErrorCode.UNSUPPORTED_TYPE)
    container = _tree(archive, _CONTAINER)
    package = next((found.get("full-path") for found in container.iter("{*}rootfile")), None)
    if not package:
        raise Refusal(ErrorCode.CORRUPT)
    tree = _tree(archive, package)
    folder = posixpath.dirname(package)
    items: dict[str | None, tuple[str, str]] = {
        item.get("id"): (_within(folder, item.get("href", "")), item.get("media-type", ""))
        for item in tree.iter("{*}item")
    }
    references = [reference.get("idref") for reference in tree.iter("{*}itemref")]
    return [items[reference] for reference in references if reference in items]


def _within(folder: str, reference: str) -> str:
    """The name in the archive that a package's reference leads to."""
    return posixpath.normpath(posixpath.join(folder, unquote(reference.partition("#")[0])))


def _tree(archive: ZipFile, name: str) -> etree._Element:
    """A part of the book's skeleton. Raises Refusal: CORRUPT, also for one that declares entities."""
    try:
        data = read_part(archive, name)
        root = etree.fromstring(
            data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        )
    except (KeyError, etree.XMLSyntaxError, ValueError) as error:
        raise Refusal(ErrorCode.CORRUPT) from error
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and any(True for _ in declared.iterentities()):
        raise Refusal(ErrorCode.CORRUPT)
    return root


def _is_protected(archive: ZipFile, chapters: set[str]) -> bool:
    """Whether chapters are encrypted. That fonts are is common, and hinders nobody."""
    if _ENCRYPTION not in archive.namelist():
        return False
    references = (found.get("URI", "") for found in _tree(archive, _ENCRYPTION).iter("{*}CipherReference"))
    return any(posixpath.normpath(unquote(reference)) in chapters for reference in references)


def _chapter(archive: ZipFile, name: str, max_chars: int) -> MarkupText:
    """Raises KeyError where the archive does not have it; Refusal: CORRUPT, TOO_LARGE."""
    data = read_part(archive, name)
    declared = _DECLARED.match(data)
    text, _ = decode(data, declared.group(1).decode("ascii") if declared else "")
    # What it says of its encoding is no longer so.
    found = from_xhtml(_DECLARATION.sub("", text, count=1), max_chars, _NO_TEXT_OF_A_CHAPTER)
    if not found.text and not found.has_pictures and _ROOT.search(text):
        # Not well-formed from its first lines on.
        return from_html(text, max_chars, _NO_TEXT_OF_A_CHAPTER)
    return found
