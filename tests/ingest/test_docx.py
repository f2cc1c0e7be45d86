"""Word documents, read as the product reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from reading import refusal, text_of

import office
from core.errors import ErrorCode
from ingest.pages import ParserLimits
from ingest.sniff import ContentType

Stored = Callable[[bytes], Path]
P = office.paragraph

NOTE = '<w:footnote w:id="2"><w:p><w:r><w:t>Except in August.</w:t></w:r></w:p></w:footnote>'
BODY = (
    P("Opening hours", "berschrift1")
    + "<w:p><w:r><w:t>The cellar is </w:t></w:r><w:r><w:rPr><w:b/></w:rPr><w:t>open</w:t></w:r><w:r><w:t> daily</w:t>"
    '</w:r><w:r><w:footnoteReference w:id="2"/></w:r><w:r><w:t>.</w:t><w:br/><w:t>Ring twice.</w:t></w:r></w:p>'
    + P("Rules", "berschrift2")
    + office.item("No food")
    + office.item("No dogs")
    + office.item("but guide dogs", level=1, list_id=2)
    + office.table(["Role", "Key"], ["Chair", "yes"], ["Guest", ""], ["Cook", "no"])
    + "<w:p><w:ins><w:r><w:t>What was added</w:t></w:r></w:ins><w:del><w:r>"
    "<w:delText>What went</w:delText></w:r></w:del></w:p>"
    + f"<w:sdt><w:sdtContent>{P('What stands in a form')}</w:sdtContent></w:sdt>"
    + "<w:p><w:smartTag><w:r><w:t>Basle</w:t></w:r></w:smartTag><w:hyperlink><w:r><w:t>, by the Rhine</w:t></w:r>"
    "</w:hyperlink></w:p>"
)
SAID = """Opening hours

The cellar is open daily[1].
Ring twice.

Rules

1. No food
2. No dogs
  - but guide dogs

Role\tKey
Chair\tyes
Guest
Cook\tno

What was added

What stands in a form

Basle, by the Rhine

1. Except in August."""


async def test_a_document_says_what_its_author_sees(stored: Stored) -> None:
    assert await text_of(stored(office.docx(BODY, notes=NOTE)), ContentType.DOCX) == SAID


async def test_macros_and_linked_files_are_never_looked_at(stored: Stored) -> None:
    linked = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId9" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/image" '
        'Target="file:///etc/passwd" TargetMode="External"/></Relationships>'
    )
    more = {"word/vbaProject.bin": b"\xd0\xcf\x11\xe0 Auto_Open", "word/_rels/document.xml.rels": linked}
    body = P("Before.") + office.PICTURE.replace("r:embed", "r:link") + P("After.")
    assert await text_of(stored(office.docx(body, more)), ContentType.DOCX) == "Before.\n\nAfter."


BOMB = b"<w:t>" + b"x" * 80_000_000
LAUGHS = '<!DOCTYPE w [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
FILE = '<!DOCTYPE w [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (office.encrypted_docx, ErrorCode.ENCRYPTED, "protected by a password"),
        (lambda: office.docx(office.PICTURE, {"word/media/image1.png": b"\x89PNG"}), ErrorCode.NO_TEXT, "OCR"),
        (lambda: office.docx(P(" ")), ErrorCode.EMPTY, "Word document is empty"),
        (lambda: office.docx(BODY)[:-400], ErrorCode.CORRUPT, "damaged or incomplete"),
        (lambda: office.docx(BODY).replace(b"word/document.xml", b"word/documents.ml"), ErrorCode.CORRUPT, "damaged"),
        (lambda: office.docx("<w:p><w:r>"), ErrorCode.CORRUPT, "damaged"),
        (lambda: office.docx(P("&b;"), declaration=LAUGHS), ErrorCode.CORRUPT, "damaged"),
        (lambda: office.docx(P("&a;"), declaration=FILE), ErrorCode.CORRUPT, "damaged"),
        (lambda: office.docx("<w:sdt><w:sdtContent>" * 20_000), ErrorCode.CORRUPT, "damaged"),
        (
            lambda: office.docx("<w:tbl><w:tr><w:tc>" * 5_000 + "</w:tc></w:tr></w:tbl>" * 5_000),
            ErrorCode.CORRUPT,
            "da",
        ),
        (lambda: office.docx(P("x"), {"word/styles.xml": BOMB}), ErrorCode.TOO_LARGE, "more memory"),
        (lambda: office.docx(P("x"), {f"x{n}": b"" for n in range(20_001)}), ErrorCode.TOO_LARGE, "more memory"),
        (lambda: office.packed({"notes.txt": "x"}), ErrorCode.UNSUPPORTED_TYPE, "a Word document, but it is none"),
        (lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2_000), ErrorCode.UNSUPPORTED_TYPE, "but it is none"),
    ],
    ids=[
        *("password", "picture", "blank", "half", "another name", "open", "laughs", "file", "deep", "nested tables"),
        *("bomb", "entries", "archive", "old"),
    ],
)
async def test_a_document_that_cannot_be_read_has_its_own_reason(
    stored: Stored, make: Callable[[], bytes], code: ErrorCode, words: str
) -> None:
    error = await refusal(stored(make()), ContentType.DOCX)
    assert (error.code, error.retryable) == (code, False)
    assert words in error.message


async def test_what_an_archive_declares_is_all_that_is_unpacked(stored: Stored) -> None:
    whole = office.docx(P("x"), {"word/styles.xml": BOMB})
    # The sizes in the directory at the end are what a reader goes by.
    lie = whole.replace((len(BOMB)).to_bytes(4, "little"), (1_000).to_bytes(4, "little"))
    assert lie != whole
    error = await refusal(stored(lie), ContentType.DOCX, ParserLimits(wall_seconds=5))
    assert error.code is ErrorCode.CORRUPT


async def test_limits_hold_for_documents_of_words_alone(stored: Stored) -> None:
    path = stored(office.docx("".join(P("A paragraph of a long report.") for _ in range(4_000))))
    error = await refusal(path, ContentType.DOCX, ParserLimits(max_chars=5_000))
    assert (error.code, "5,000 characters" in error.message) == (ErrorCode.TOO_LARGE, True)
    error = await refusal(path, ContentType.DOCX, ParserLimits(wall_seconds=0.5))
    assert (error.code, error.retryable) == (ErrorCode.TIMED_OUT, True)


async def test_a_document_that_takes_all_memory_is_stopped(stored: Stored) -> None:
    path = stored(office.docx(P("word " * 6_000_000)))
    error = await refusal(path, ContentType.DOCX, ParserLimits(memory_bytes=24 * 1024 * 1024))
    assert (error.code, "memory" in error.message) == (ErrorCode.TOO_LARGE, True)
