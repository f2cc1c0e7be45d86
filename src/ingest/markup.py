"""HTML and XHTML, read by lxml. Only the parser's process imports it (docs/decisions/lxml.md).

The parser calls back for each piece of markup and builds no tree, so that neither size nor depth of a document costs
more than its text.
"""

from __future__ import annotations

import re
from html.entities import html5
from typing import Any

from lxml import etree

from core.errors import ErrorCode
from ingest.markup_text import MarkupText
from ingest.refusal import Refusal

_PIECE_CHARS = 1 << 16
_REFERENCE = re.compile(r"&(?:([A-Za-z][A-Za-z0-9]*);|#[0-9]+;|#[xX][0-9A-Fa-f]+;)?")
_AMPERSAND = "&#38;"
_DECLARED = re.compile(r"<!ENTITY", re.IGNORECASE)


def from_html(text: str, max_chars: int, skipped: frozenset[str] = frozenset()) -> MarkupText:
    """What an HTML document says, however it is written, but for `skipped` elements. Raises Refusal: TOO_LARGE."""
    target = MarkupText(max_chars, skipped)
    _feed(etree.HTMLParser(target=target, huge_tree=True), text)
    return target


def from_xhtml(text: str, max_chars: int, skipped: frozenset[str] = frozenset()) -> MarkupText:
    """What a document in XML's spelling says, where `<title/>` is closed; mistakes are overlooked.

    Raises Refusal: CORRUPT where it declares entities of its own (they can be made to grow without end, or to name
    other files), TOO_LARGE.
    """
    if _DECLARED.search(text):
        raise Refusal(ErrorCode.CORRUPT)
    target = MarkupText(max_chars, skipped)
    parser = etree.XMLParser(
        target=target, huge_tree=True, recover=True, resolve_entities=False, no_network=True, load_dtd=False
    )
    _feed(parser, _REFERENCE.sub(_resolved, text))
    return target


def _feed(parser: Any, text: str) -> None:
    try:
        for at in range(0, len(text), _PIECE_CHARS):
            parser.feed(text[at : at + _PIECE_CHARS])
        parser.close()
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from error
        # Nothing in it that could be an element. Everything else is recovered from.
        return


def _resolved(reference: re.Match[str]) -> str:
    """The same by numbers, which need no declaration and outlive mistakes before them. What is none is an ampersand."""
    name = reference.group(1)
    if name is None:
        return reference.group() if len(reference.group()) > 1 else _AMPERSAND
    value = html5.get(f"{name};")
    return _AMPERSAND + reference.group()[1:] if value is None else "".join(f"&#{ord(each)};" for each in value)
