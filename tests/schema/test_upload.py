"""Uploading: what becomes of good files, and what of bad ones."""

from __future__ import annotations

import os
from typing import Any

import pytest

import office
import pdfs
from core.settings import Settings
from ingest.sniff import ContentType
from multipart import upload
from owner import as_owner, counts, kept_files, set_role, uuid_of
from product import PROGRESS, Person, Product, running_product

DOCUMENT = """query($id: ID!) { node(id: $id) { ... on Document {
  name contentType byteSize status pageCount chunkCount failure { code message retryable } uploadedBy { id }
  progress { status pagesDone pagesTotal chunksDone chunksTotal etaSeconds failure { code } } } } }"""
PAGE = "query($id: ID!, $n: Int!) { node(id: $id) { ... on Document { page(number: $n) { number text } } } }"
TEXT = "Die Fähre nach Vexholm legt um halb acht ab. Sie fährt von Steg neun.\n\n".encode() * 30
MARKDOWN = b"# Tides\n\nThe tide at Brenn turns **twice** a day.\n\n- high water at noon\n- low water at six\n"
HTML = b"<!DOCTYPE html><html><nav>Home</nav><h1>Tides</h1><p>High water is <b>at noon</b>.</p></html>"
CHAPTER = office.chapter("<h1>Tides</h1><p>High water is <b>at noon</b>.</p>")


async def document(person: Person, document_id: str) -> dict[str, Any]:
    """The document as its owner reads it."""
    return (await person.query(DOCUMENT, id=document_id))["node"]  # type: ignore[no-any-return]


async def page(person: Person, document_id: str, number: int) -> dict[str, Any] | None:
    """One page of it."""
    return (await person.query(PAGE, id=document_id, n=number))["node"]["page"]  # type: ignore[no-any-return]


async def ready(person: Person, content: bytes, name: str) -> str:
    """Upload a good document and wait until it is searchable; its id."""
    document_id: str = (await upload(person, content, name))["document"]["id"]
    events = [event async for event in person.subscribe(PROGRESS, "documentProgress", id=document_id)]
    assert events[-1]["status"] == "READY", events
    return document_id


async def failure(person: Person, content: bytes, name: str) -> dict[str, Any]:
    """Upload what is accepted as a file and cannot be read as a document; how it failed, told three times alike."""
    result = await upload(person, content, name)
    assert result["__typename"] == "UploadDocumentPayload", result
    document_id = result["document"]["id"]
    last = [event async for event in person.subscribe(PROGRESS, "documentProgress", id=document_id)][-1]
    stored = await document(person, document_id)
    assert last["status"] == stored["status"] == stored["progress"]["status"] == "FAILED"
    assert last["failure"] == stored["failure"]
    assert stored["progress"]["failure"]["code"] == stored["failure"]["code"]
    assert (stored["chunkCount"], await page(person, document_id, 1)) == (0, None)
    return stored["failure"]  # type: ignore[no-any-return]


async def assert_nothing_left(of: Product | Person) -> None:
    """No row and no file of a document, whole or in part."""
    assert set((await counts(of)).values()) == {0}
    assert kept_files(of) == []


@pytest.mark.parametrize(
    ("content", "name", "content_type", "pages"),
    [
        (pdfs.manual(20), "manual.pdf", "application/pdf", 20),
        (pdfs.manual(2), "a manual without a suffix", "application/pdf", 2),
        (TEXT, "fähre.txt", "text/plain", None),
        (TEXT.decode().encode("utf-16"), "from windows.txt", "text/plain", None),
        (MARKDOWN, "tides.md", "text/markdown", None),
        (HTML, "tides.html", "text/html", None),
        (office.docx(office.paragraph("High water is at noon.")), "tides.docx", ContentType.DOCX.value, None),
        (office.epub([CHAPTER, CHAPTER]), "tides.epub", "application/epub+zip", 2),
        (b"pier,water\nBrenn,high at noon\nVexholm,low at six\n", "tides.csv", "text/csv", None),
    ],
    ids=["pdf", "pdf by its content", "text", "utf-16", "markdown", "html", "docx", "epub", "csv"],
)
async def test_a_good_file_becomes_searchable_and_its_chunks_quote_its_pages(
    product: Product, content: bytes, name: str, content_type: str, pages: int | None
) -> None:
    person = await product.sign_up()
    document_id = await ready(person, content, name)
    stored = await document(person, document_id)
    chunks = await as_owner(
        product.settings,
        'SELECT page, text, start, "end", ordinal FROM chunks WHERE document_id = $1 ORDER BY ordinal',
        uuid_of(document_id),
    )
    assert (stored["name"], stored["contentType"], stored["byteSize"]) == (name, content_type, len(content))
    assert (stored["status"], stored["failure"], stored["uploadedBy"]["id"]) == ("READY", None, person.user_id)
    assert (stored["pageCount"], stored["chunkCount"]) == (pages, len(chunks))
    assert stored["progress"] == {
        "status": "READY",
        **dict.fromkeys(("pagesDone", "pagesTotal"), pages or 1),
        **dict.fromkeys(("chunksDone", "chunksTotal"), len(chunks)),
        "etaSeconds": None,
        "failure": None,
    }
    texts = {}
    for number in range(1, (pages or 1) + 1):
        found = await page(person, document_id, number)
        assert found is not None
        assert found["number"] == number
        texts[number] = found["text"]
    assert await page(person, document_id, (pages or 1) + 1) is None
    assert [chunk[4] for chunk in chunks] == list(range(len(chunks)))
    for number, text, start, end, _ in chunks:
        assert texts[number or 1][start:end] == text
        assert (number is None) == (pages is None)
    assert (await counts(person))["embeddings"] == len(chunks)


async def test_a_page_number_that_is_none_is_refused(product: Product) -> None:
    person = await product.sign_up()
    document_id = await person.ready_document(TEXT)
    for number in (0, -1):
        body = await person.raw(PAGE, id=document_id, n=number)
        assert body["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        assert "count from 1" in body["errors"][0]["message"]


async def test_the_same_bytes_are_one_document_whatever_they_are_called(product: Product) -> None:
    person = await product.sign_up()
    document_id = await person.ready_document(TEXT, "one.txt")
    again = await upload(person, TEXT, "two.txt")
    assert (again["__typename"], again["code"]) == ("DuplicateDocument", "DUPLICATE")
    assert again["document"]["id"] == document_id
    assert "'one.txt'" in again["reason"]
    assert (await counts(person))["documents"] == len(kept_files(person)) == 1


async def test_two_organisations_may_have_the_same_bytes(product: Product) -> None:
    one, other = await product.sign_up(), await product.sign_up()
    assert await one.ready_document(TEXT) != await other.ready_document(TEXT)


@pytest.mark.parametrize(
    ("content", "name", "code", "words"),
    [
        (b"This is a letter, not a PDF.\n" * 20, "letter.pdf", "UNSUPPORTED_TYPE", "letter.pdf is named .pdf but is"),
        (os.urandom(5000), "rubbish.txt", "UNSUPPORTED_TYPE", "rubbish.txt is not a document of a kind"),
        (b"PK\x03\x04" + os.urandom(500), "report.xlsx", "UNSUPPORTED_TYPE", "report.xlsx is a ZIP archive"),
        (b"", "empty.txt", "EMPTY", "empty.txt is empty (0 bytes)"),
        (b"", "empty.pdf", "EMPTY", "empty.pdf is empty (0 bytes)"),
    ],
    ids=["a PDF by name alone", "rubbish", "office", "empty text", "empty PDF"],
)
async def test_a_file_that_is_no_document_is_refused_and_leaves_nothing(
    product: Product, content: bytes, name: str, code: str, words: str
) -> None:
    person = await product.sign_up()
    result = await upload(person, content, name)
    assert (result["__typename"], result["code"]) == ("UploadRejected", code)
    assert words in result["reason"]
    await assert_nothing_left(person)


@pytest.mark.parametrize(
    ("content", "name", "code", "words"),
    [
        (pdfs.encrypted(), "secret.pdf", "ENCRYPTED", "protected by a password"),
        (pdfs.image_only(), "scan.pdf", "NO_TEXT", "No text was found"),
        (pdfs.truncated(), "half.pdf", "CORRUPT", "damaged"),
        (pdfs.empty(), "blank.pdf", "EMPTY", "no pages"),
        (b" \n\t\n" * 50, "blank.txt", "EMPTY", "nothing but white space"),
        (office.encrypted_docx(), "secret.docx", "ENCRYPTED", "protected by a password"),
        (office.packed({"notes.txt": "x"}), "letter.docx", "UNSUPPORTED_TYPE", "but it is none"),
        (office.docx(office.paragraph("x"), {"word/bomb.xml": b" " * 80_000_000}), "bomb.docx", "TOO_LARGE", "memory"),
        (office.epub([CHAPTER] * 2, missing=[1]), "torn.epub", "CORRUPT", "chapter 2"),
        (b"<!DOCTYPE html><img src=scan.png>", "scan.html", "NO_TEXT", "No text was found"),
    ],
    ids=[
        *("encrypted", "image-only", "truncated", "no pages", "white space"),
        *("encrypted docx", "no docx", "bomb", "torn epub", "scan in html"),
    ],
)
async def test_a_document_that_cannot_be_read_fails_with_its_reason_and_may_come_again(
    product: Product, content: bytes, name: str, code: str, words: str
) -> None:
    person = await product.sign_up()
    failed = await failure(person, content, name)
    assert (failed["code"], failed["retryable"]) == (code, False)
    assert words in failed["message"]
    found = await counts(person)
    assert (found["document_pages"], found["chunks"], found["embeddings"]) == (0, 0, 0)
    # A failed document is no copy that a second try could be refused for.
    assert (await upload(person, content, name))["__typename"] == "UploadDocumentPayload"


@pytest.mark.long
async def test_a_document_with_too_many_pages_fails_with_their_number(settings: Settings) -> None:
    async with running_product(settings.model_copy(update={"document_max_pages": 10})) as product:
        person = await product.sign_up()
        failed = await failure(person, pdfs.manual(11), "long.pdf")
        assert (failed["code"], failed["retryable"]) == ("TOO_MANY_PAGES", False)
        assert "11 pages" in failed["message"]
        await person.ready_document(pdfs.manual(10), "fits.pdf")


@pytest.mark.long
async def test_a_parser_that_takes_too_long_is_stopped_and_the_document_may_be_tried_again(settings: Settings) -> None:
    async with running_product(settings.model_copy(update={"parser_timeout": 1.0})) as product:
        person = await product.sign_up()
        failed = await failure(person, pdfs.nested_forms(), "hostile.pdf")
        assert (failed["code"], failed["retryable"]) == ("TIMED_OUT", True)
        await person.ready_document(TEXT)


# Fillers of Hangul and an empty pattern of Braille are a letter and a symbol, and show nothing.
FILLERS = ["\u3164", "\u2800\u2800", "\u115f\u1160", "\uffa0 \u2800", "\u034f\ufe0f", "\ufffc"]


@pytest.mark.parametrize("name", ["", "   ", "x" * 256, "a\x00b.txt", "a\nb.txt", "a\u202eb.txt", *FILLERS])
async def test_a_name_that_cannot_be_shown_is_refused_and_leaves_nothing(product: Product, name: str) -> None:
    person = await product.sign_up()
    result = await upload(person, TEXT, "fine.txt", name=name)
    assert (result["__typename"], result["code"]) == ("InvalidInput", "INVALID_INPUT")
    assert ("at most 255 characters; this one has 256" if len(name) > 255 else "printable characters") in result[
        "reason"
    ]
    await assert_nothing_left(person)


@pytest.mark.parametrize("filename", ["", " ", "x" * 256, "a\nb.txt", "a\x07b.txt", "\u3164"])
async def test_a_file_whose_own_name_cannot_be_shown_is_refused_and_leaves_nothing(
    product: Product, filename: str
) -> None:
    person = await product.sign_up()
    assert (await upload(person, TEXT, filename))["code"] == "INVALID_INPUT"
    await assert_nothing_left(person)


async def test_a_given_name_counts_instead_of_the_file_s_own(product: Product) -> None:
    person = await product.sign_up()
    result = await upload(person, TEXT, "fine.txt", name="  Fähren & Züge 🚆  ")
    assert result["document"]["name"] == "Fähren & Züge 🚆"
    assert (await upload(person, MARKDOWN, "x" * 255))["document"]["name"] == "x" * 255


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Fähren & Züge 🚆.txt", "Fähren & Züge 🚆.txt"),
        ('the "old" harbour.txt', 'the "old" harbour.txt'),
        ("my%20report%20100%25.txt", "my%20report%20100%25.txt"),
        ("50%20off.txt", "50%20off.txt"),
        ("100%.txt", "100%.txt"),
        ("50%ff.txt", "50%ff.txt"),
        ("C:\\temp\\notes.txt", "notes.txt"),
        ("../../etc/passwd", "../../etc/passwd"),
    ],
)
async def test_a_file_s_own_name_is_shown_as_it_was_meant(product: Product, sent: str, shown: str) -> None:
    person = await product.sign_up()
    result = await upload(person, TEXT, sent)
    assert result["document"]["name"] == shown
    (file,) = kept_files(person)
    assert file.name == uuid_of(result["document"]["id"]).hex


@pytest.mark.parametrize("assistant", ["", "nonsense", "doc_" + "0" * 32, "ast_" + "g" * 32, "ast_" + "0" * 32])
async def test_an_assistant_that_is_none_is_refused_and_leaves_nothing(product: Product, assistant: str) -> None:
    person = await product.sign_up()
    result = await upload(person, TEXT, "fine.txt", assistantId=assistant)
    assert result["code"] == ("NOT_FOUND" if assistant == "ast_" + "0" * 32 else "INVALID_INPUT")
    await assert_nothing_left(person)


async def test_a_document_may_be_put_into_an_assistant_s_scope(product: Product) -> None:
    person = await product.sign_up()
    nodes = (await person.query("{ viewer { assistants { nodes { id } } } }"))["viewer"]["assistants"]["nodes"]
    result = await upload(person, TEXT, "fine.txt", assistantId=nodes[0]["id"])
    assert result["__typename"] == "UploadDocumentPayload"
    assert (await counts(person))["assistant_documents"] == 1


@pytest.mark.parametrize("role", ["USER", "OPERATOR"])
async def test_a_weaker_role_may_not_upload(product: Product, role: str) -> None:
    person = await product.sign_up()
    await set_role(person, role)
    body = await product.upload_raw(person.token, TEXT, "fine.txt")
    assert body["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert f"needs the role BUSINESS; yours is {role}" in body["errors"][0]["message"]
    await assert_nothing_left(person)


@pytest.mark.parametrize("token", [None, "not a token"])
async def test_a_stranger_may_not_upload(own_product: Product, token: str | None) -> None:
    body = await own_product.upload_raw(token, TEXT, "fine.txt")
    assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    await assert_nothing_left(own_product)
