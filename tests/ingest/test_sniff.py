"""What a file is, told by its bytes."""

from __future__ import annotations

import os

import pytest

import office
import pdfs
from core.errors import DocumentError, ErrorCode
from ingest.sniff import HEAD_BYTES, ContentType, sniff

BODY = office.paragraph("Text.")
CHAPTER = office.chapter("<p>Text.</p>")
ODT = office.packed({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "<x/>"})
XLSX = office.packed({"[Content_Types].xml": "<Types/>", "xl/workbook.xml": "<x/>"})
PPTX = office.packed({"[Content_Types].xml": "<Types/>", "ppt/presentation.xml": "<x/>"})
# An archive whose names stand beyond the head.
LATE = office.packed({"[Content_Types].xml": os.urandom(HEAD_BYTES), "word/document.xml": "<x/>"})


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (pdfs.manual(1)[:HEAD_BYTES], "manual.pdf", ContentType.PDF),
        (pdfs.manual(1)[:HEAD_BYTES], "manual.txt", ContentType.PDF),
        (b"\r\nmailed by a robot\r\n" * 20 + b"%PDF-1.4\n%\xe2\xe3\xcf\xd3", "manual.pdf", ContentType.PDF),
        (b"\0" * 1000 + b"%PDF-1.4", "manual", ContentType.PDF),
        (b"A PDF begins with %PDF-1.7 and ends with %%EOF.", "formats.md", ContentType.MARKDOWN),
        (b"# Title\n\nText.", "README.MD", ContentType.MARKDOWN),
        (b"# Title\n\nText.", "readme", ContentType.TEXT),
        ("Größe: 5 €".encode(), "notes.txt", ContentType.TEXT),
        ("Größe: 5 €".encode()[:-1], "cut-in-a-character.txt", ContentType.TEXT),
        ("Größe: 5".encode("cp1252"), "notes.txt", ContentType.TEXT),
        ("\ufeffLine".encode("utf-16-le"), "windows.txt", ContentType.TEXT),
        (b"line one\r\nline two\r\n\x1a", "dos.txt", ContentType.TEXT),
        (b"   \n", "blank.txt", ContentType.TEXT),
        (b"name,age\nAda,36\n", "people.csv", ContentType.CSV),
        (b"name\tage\nAda\t36\n", "people.TSV", ContentType.CSV),
        (b"name,age\nAda,36\n", "people.txt", ContentType.TEXT),
        ("name,age\nAda,36\n".encode("utf-16"), "people.csv", ContentType.CSV),
        (pdfs.manual(1)[:HEAD_BYTES], "people.csv", ContentType.PDF),
        (office.docx(BODY), "letter.docx", ContentType.DOCX),
        (office.docx(BODY), "letter", ContentType.DOCX),
        (office.docx(BODY), "letter.epub", ContentType.DOCX),
        (office.encrypted_docx(), "letter.docx", ContentType.DOCX),
        (office.encrypted_docx(), "letter", ContentType.DOCX),
        (LATE, "letter.docm", ContentType.DOCX),
        (LATE, "book.epub", ContentType.EPUB),
        (office.epub([CHAPTER]), "book.epub", ContentType.EPUB),
        (office.epub([CHAPTER]), "book.zip", ContentType.EPUB),
        (CHAPTER.encode(), "chapter.xhtml", ContentType.HTML),
        (b"<!DOCTYPE html>\n<html><head><title>Page</title>", "page.html", ContentType.HTML),
        (b"<!DOCTYPE html>\n<html><head><title>Page</title>", "page.txt", ContentType.HTML),
        (b"<!DOCTYPE html>\n<html><head><title>Page</title>", "page.csv", ContentType.HTML),
        (b'\xef\xbb\xbf\r\n<!doctype HTML PUBLIC "-//W3C//DTD HTML 4.01//EN">\r\n<HTML>', "page", ContentType.HTML),
        (b"<?xml version='1.0'?><!-- saved -->\n<!DOCTYPE html><html>", "page.html", ContentType.HTML),
        (b"<html lang=en>\n<body>Text", "page.html", ContentType.HTML),
        (b"<p>Only a <b>piece</b> of a page.</p>", "page.html", ContentType.HTML),
        (b"<!-- " + b"All rights reserved. " * 300, "page.html", ContentType.HTML),
        (b"<!-- " + b"All rights reserved. " * 300, "page.md", ContentType.MARKDOWN),
        ("<!doctype html><html>".encode("utf-16"), "page.html", ContentType.HTML),
        (b'{"html": "<html>"}', "data.json", ContentType.TEXT),
        (b"<?xml version='1.0'?>\n<note>Text</note>", "note.xml", ContentType.TEXT),
        (b'<div align="center"><h1>Project</h1></div>\n\nText.', "README.md", ContentType.MARKDOWN),
        (b"<!-- toc -->\n# Pages\n\n```html\n<!DOCTYPE html>\n<html>\n```\n", "pages.md", ContentType.MARKDOWN),
        (b"<html> is the root element of a page.", "elements.md", ContentType.MARKDOWN),
        (b"Nothing of it is markup: 1 < 2 > 0", "odd.html", ContentType.TEXT),
    ],
)
def test_content_decides_the_type(head: bytes, name: str, expected: ContentType) -> None:
    assert sniff(head[:HEAD_BYTES], name) is expected


@pytest.mark.parametrize(
    ("head", "name", "words"),
    [
        (b"Just some text.", "report.pdf", "report.pdf is named .pdf but is not a PDF."),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "report.PDF", "report.PDF is named .pdf but is not a PDF."),
        (b" " * 1030 + b"%PDF-1.4", "late.pdf", "late.pdf is named .pdf but is not a PDF."),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "chart.png", "is an image"),
        (b"GIF89a" + bytes(30), "chart.html", "is an image"),
        (b"ID3\x03\0" + bytes(30), "song.docx", "is a sound recording"),
        (b"\0\0\0 ftypisom" + bytes(30), "film.txt", "is a video"),
        (b"\x1f\x8b\x08\0" + bytes(30), "notes.tar.gz", "is a compressed archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "letter.doc", "is an older Office document"),
        (XLSX, "sums.xlsx", "is a spreadsheet"),
        (XLSX, "sums.docx", "is a spreadsheet"),
        (PPTX, "talk.pptx", "is a presentation"),
        (ODT, "letter.odt", "is an OpenDocument file"),
        (ODT, "letter.epub", "is an OpenDocument file"),
        (office.packed({"notes.txt": "x"}), "notes.zip", "is a ZIP archive"),
        (b"PK\x03\x04", "torn.zip", "is a ZIP archive"),
        (b"{\\rtf1\\ansi Hello}", "letter.rtf", "Rich Text"),
        (
            "A note, of Windows, without its mark".encode("utf-16-le"),
            "notes.txt",
            "is not a document of a kind that can be read. Upload it as PDF, Word (.docx), EPUB",
        ),
        (
            bytes(range(256)) * 4,
            "data.bin",
            "is not a document of a kind that can be read. Upload it as PDF, Word (.docx), EPUB",
        ),
        (
            b"almost text\0",
            "data.txt",
            "is not a document of a kind that can be read. Upload it as PDF, Word (.docx), EPUB",
        ),
        (
            bytes(range(1, 256)) * 4,
            "data.txt",
            "is not a document of a kind that can be read. Upload it as PDF, Word (.docx), EPUB",
        ),
    ],
)
def test_other_kinds_are_refused_with_the_reason(head: bytes, name: str, words: str) -> None:
    with pytest.raises(DocumentError) as refused:
        sniff(head, name)
    assert refused.value.code is ErrorCode.UNSUPPORTED_TYPE
    assert words in refused.value.message
    assert not refused.value.retryable


@pytest.mark.timeout(5)
@pytest.mark.parametrize("piece", [b"<!-- a -->", b"<!--", b"<?xml ", b"<a ", b"<html "])
def test_markup_that_never_ends_is_looked_at_once(piece: bytes) -> None:
    head = (piece * HEAD_BYTES)[:HEAD_BYTES]
    assert sniff(head, "hostile.txt") is ContentType.TEXT


def test_an_empty_file_is_refused_as_empty_whatever_its_name() -> None:
    with pytest.raises(DocumentError) as refused:
        sniff(b"", "report.pdf")
    assert (refused.value.code, refused.value.message) == (ErrorCode.EMPTY, "report.pdf is empty (0 bytes).")


def test_a_message_shows_a_hostile_name_in_one_short_line() -> None:
    with pytest.raises(DocumentError) as refused:
        sniff(b"", "a\nb\x1b[31m\u202e" + "x" * 5000 + ".txt")
    assert refused.value.message.startswith("ab[31mxxx")
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 130
