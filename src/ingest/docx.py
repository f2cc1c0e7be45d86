"""Text out of Word documents with mammoth, by way of HTML. Only the parser's process imports it (decisions/docx.md)."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any
from xml.parsers.expat import ExpatError, errors
from zipfile import ZipFile

import mammoth

from core.errors import ErrorCode
from ingest.archive import DAMAGED, open_archive, read_part
from ingest.html import with_words
from ingest.markup import from_html
from ingest.pages import ParsedPage
from ingest.refusal import Refusal

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_CONTENT_TYPES = "[Content_Types].xml"
_NO_MEMORY = errors.codes[errors.XML_ERROR_NO_MEMORY]
_XML_SUFFIXES = (".xml", ".rels")
# A package must not have one (ECMA-376 part 2, 8.1.4): what it could declare grows, or names other files.
_DOCTYPES = tuple("<!DOCTYPE".encode(encoding) for encoding in ("ascii", "utf-16-le", "utf-16-be"))
# The way back from a note's text, which is no word of it.
_WAY_BACK = re.compile(r'<a href="#(?:foot|end)note-ref-[^"]*">↑</a>')


def read_docx(data: bytes, max_chars: int) -> tuple[ParsedPage, None]:
    """The whole document as one page without a number: paragraphs, lists, tables as rows, notes at the end.

    Text that was deleted while changes were tracked is left out; pictures, macros and linked files are not looked at.
    Raises Refusal: ENCRYPTED, UNSUPPORTED_TYPE where it is no Word document, CORRUPT, TOO_LARGE (text beyond
    `max_chars` code points, parts beyond `archive.MAX_PART_BYTES`), EMPTY, and NO_TEXT for pictures alone.
    """
    if data.startswith(_OLE):
        raise Refusal(ErrorCode.ENCRYPTED if _ENCRYPTED in data else ErrorCode.UNSUPPORTED_TYPE)
    file = io.BytesIO(data)
    with open_archive(file) as archive:
        _check(archive)
    found = from_html(_WAY_BACK.sub("", _as_html(file)), max_chars)
    return with_words(found), None


def _check(archive: ZipFile) -> None:
    names = archive.namelist()
    if _CONTENT_TYPES not in names or b"wordprocessingml" not in read_part(archive, _CONTENT_TYPES):
        raise Refusal(ErrorCode.UNSUPPORTED_TYPE)
    for name in names:
        if name.lower().endswith(_XML_SUFFIXES):
            part = read_part(archive, name)
            if any(doctype in part for doctype in _DOCTYPES):
                raise Refusal(ErrorCode.CORRUPT)


def _as_html(file: io.BytesIO) -> str:
    try:
        return str(mammoth.convert_to_html(file, convert_image=mammoth.images.img_element(_no_source)).value)
    except (*DAMAGED, ExpatError, KeyError, RecursionError, ValueError) as error:
        if isinstance(error, ExpatError) and error.code == _NO_MEMORY:
            raise MemoryError from error
        raise Refusal(ErrorCode.CORRUPT) from error


def _no_source(image: Any) -> Mapping[str, str]:
    """That there is a picture; it is not opened."""
    return {}
