"""EPUB books, read as the product reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from reading import assert_exact, read, refusal

import office
from core.errors import ErrorCode
from ingest.pages import DocumentOpened, ParserLimits
from ingest.sniff import ContentType

Stored = Callable[[bytes], Path]
C = office.chapter

ONE = C("<h1>Loomings</h1><p>Call me Ishmael&mdash;some years&nbsp;ago.</p>")
TWO = C('<nav><a href="1">1</a></nav><h1>The Carpet&#8209;Bag</h1><ul><li>a shirt</li><li>a comb</li></ul>')
TABLE = C("<table><tr><td>Ship</td><td>Port</td></tr><tr><td>Pequod</td><td>Nantucket</td></tr></table>")


async def test_chapters_are_pages_in_the_order_of_the_spine(stored: Stored) -> None:
    opened, pages = await read(stored(office.epub([TWO, ONE, TABLE], spine=[1, 0, 2])), ContentType.EPUB)
    assert opened == DocumentOpened(3, None)
    assert [(page.number, page.text) for page in pages] == [
        (1, "Loomings\n\nCall me Ishmael—some years ago."),
        (2, "The Carpet‑Bag\n\n- a shirt\n- a comb"),
        (3, "Ship\tPort\nPequod\tNantucket"),
    ]
    for page in pages:
        assert_exact(page)


async def test_a_picture_is_a_page_without_text_and_keeps_the_count(stored: Stored) -> None:
    cover = C('<img src="cover.png"/>')
    _, pages = await read(stored(office.epub([cover, ONE])), ContentType.EPUB)
    assert [page.text[:8] for page in pages] == ["", "Loomings"]


@pytest.mark.parametrize(
    "written",
    [
        ONE.replace("</p>", "").encode(),
        ONE.replace('encoding="utf-8"', 'encoding="utf-16"').encode("utf-16"),
        ONE.replace("utf-8", "windows-1252").replace("&mdash;", "—").encode("cp1252"),
        ONE.removeprefix('<?xml version="1.0" encoding="utf-8"?>').encode(),
        ONE.replace("<!DOCTYPE html>", '<!DOCTYPE html PUBLIC "x" "http://127.0.0.1:1/x.dtd">').encode(),
    ],
    ids=["mistake", "utf-16", "cp1252", "no declaration", "old doctype"],
)
async def test_a_chapter_is_read_however_it_is_written(stored: Stored, written: bytes) -> None:
    _, [page] = await read(stored(office.epub([written])), ContentType.EPUB)
    assert page.text == "Loomings\n\nCall me Ishmael—some years ago."


def protected(uri: str) -> str:
    return (
        '<encryption xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData><enc:CipherData>'
        f'<enc:CipherReference URI="{uri}"/></enc:CipherData></enc:EncryptedData></encryption>'
    )


async def test_fonts_may_be_encrypted(stored: Stored) -> None:
    book = office.epub([ONE], more={"META-INF/encryption.xml": protected("OEBPS/fonts/one.otf")})
    assert len((await read(stored(book), ContentType.EPUB))[1]) == 1


LAUGHS = '<!DOCTYPE html [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
FILE = '<!DOCTYPE html [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
CONTAINER = "META-INF/container.xml"


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (
            lambda: office.epub([ONE], more={"META-INF/encryption.xml": protected("OEBPS/text/chapter%200.xhtml")}),
            ErrorCode.ENCRYPTED,
            "protected against copying",
        ),
        (lambda: office.epub([C('<img src="1.png"/>')] * 3), ErrorCode.NO_TEXT, "OCR"),
        (lambda: office.epub([ONE], spine=[]), ErrorCode.EMPTY, "no chapters"),
        (lambda: office.epub([ONE], spine=[0] * 5_001), ErrorCode.TOO_MANY_PAGES, "5,001 chapters"),
        (lambda: office.epub([ONE, TWO])[:-300], ErrorCode.CORRUPT, "damaged or incomplete"),
        (lambda: office.epub([ONE, TWO], missing=[1]), ErrorCode.CORRUPT, "chapter 2 cannot be read"),
        (lambda: office.epub([ONE], more={CONTAINER: "<container/>"}), ErrorCode.CORRUPT, "damaged or incomplete"),
        (lambda: office.epub([ONE], more={CONTAINER: "no markup"}), ErrorCode.CORRUPT, "damaged or incomplete"),
        (lambda: office.epub([ONE, C("&b;", doctype=LAUGHS)]), ErrorCode.CORRUPT, "chapter 2 cannot be read"),
        (lambda: office.epub([C("&a;", doctype=FILE)]), ErrorCode.CORRUPT, "chapter 1 cannot be read"),
        (lambda: office.epub([ONE], declaration=FILE), ErrorCode.CORRUPT, "damaged or incomplete"),
        (lambda: office.epub([C("x" * 80_000_000)]), ErrorCode.TOO_LARGE, "more memory"),
        (lambda: office.packed({"mimetype": "application/epub+zip"}), ErrorCode.UNSUPPORTED_TYPE, "an EPUB, but"),
    ],
    ids=[
        *("protected", "pictures", "no spine", "chapters", "half", "missing", "no package", "no container", "laughs"),
        *("file", "package", "bomb", "archive"),
    ],
)
async def test_a_book_that_cannot_be_read_has_its_own_reason(
    stored: Stored, make: Callable[[], bytes], code: ErrorCode, words: str
) -> None:
    error = await refusal(stored(make()), ContentType.EPUB)
    assert (error.code, error.retryable) == (code, False)
    assert words in error.message


async def test_depth_costs_nothing(stored: Stored) -> None:
    _, [page] = await read(
        stored(office.epub([C("<div>" * 100_000 + "end" + "</div>" * 100_000)])),
        ContentType.EPUB,
        ParserLimits(wall_seconds=10),
    )
    assert page.text == "end"


async def test_limits_hold_for_the_book_as_a_whole(stored: Stored) -> None:
    path = stored(office.epub([C("<p>A page of the long whaling book.</p>" * 500)], spine=[0] * 400))
    error = await refusal(path, ContentType.EPUB, ParserLimits(max_chars=50_000))
    assert (error.code, "50,000 characters" in error.message) == (ErrorCode.TOO_LARGE, True)
    error = await refusal(path, ContentType.EPUB, ParserLimits(wall_seconds=0.6))
    assert (error.code, error.retryable) == (ErrorCode.TIMED_OUT, True)
