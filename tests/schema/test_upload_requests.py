"""Uploads as requests: what is wrong with the body, its size, its headers, its connection."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from core.settings import Settings
from multipart import BOUNDARY, FILE_MAP, Part, file_map, form, operations, send, upload
from owner import counts, kept_files, set_role
from product import UPLOAD, Person, Product, running_product

TEXT = b"The harbour of Vexholm freezes in December.\n"
FILE = Part("0", TEXT, "notes.txt")
GOOD = form(operations(), file_map(), FILE)
LIMIT = 10_000


@pytest.fixture
async def small(settings: Settings) -> AsyncIterator[Product]:
    """A product that takes files of at most `LIMIT` bytes."""
    async with running_product(settings.model_copy(update={"upload_max_bytes": LIMIT})) as product:
        yield product


async def assert_nothing_left(of: Product | Person) -> None:
    """No row and no file, and the next upload works."""
    assert set((await counts(of)).values()) == {0}
    assert kept_files(of) == []


async def assert_works(person: Person) -> None:
    """The next upload is none the worse for it."""
    assert (await upload(person, TEXT, "notes.txt"))["__typename"] == "UploadDocumentPayload"


def padded(size: int) -> bytes:
    """So many bytes of text."""
    return (TEXT * (size // len(TEXT) + 1))[:size]


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """A body whose length nobody has told."""
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


@pytest.mark.parametrize("told", [True, False], ids=["with a length", "without a length"])
async def test_a_file_of_the_greatest_size_is_kept_and_one_byte_more_is_refused(small: Product, told: bool) -> None:
    person = await small.sign_up()
    for size, kind in ((LIMIT + 1, "UploadRejected"), (LIMIT, "UploadDocumentPayload")):
        body = form(operations(), file_map(), Part("0", padded(size), "notes.txt"))
        reply = await send(small, person.token, body if told else in_pieces(body))
        result = reply.body["data"]["uploadDocument"]
        assert result["__typename"] == kind
        if kind == "UploadRejected":
            assert (result["code"], str(LIMIT) in result["reason"]) == ("TOO_LARGE", True)
            await assert_nothing_left(small)
    assert [path.stat().st_size for path in kept_files(small)] == [LIMIT]


@pytest.mark.parametrize("told", [True, False], ids=["with a length", "without a length"])
async def test_a_body_far_beyond_the_limit_is_refused_before_its_end(small: Product, told: bool) -> None:
    person = await small.sign_up()
    address = urlsplit(small.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    length = "Content-Length: 90000000000" if told else "Transfer-Encoding: chunked"
    writer.write(
        f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {person.token}\r\n{length}\r\n"
        f"x-colloquy-preflight: 1\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode()
    )
    start = form(operations(), file_map(), FILE)[: -len(BOUNDARY) - 8]
    pieces = [start] + ([] if told else [padded(65_536)] * 40)
    for piece in pieces:
        writer.write(piece if told else b"%x\r\n%s\r\n" % (len(piece), piece))
    # The rest is never sent: whoever waited for it would not answer.
    status = await reader.readuntil(b"\r\n")
    body = await reader.read(65_536)
    writer.close()
    assert b" 413 " in status
    assert b"LIMIT_EXCEEDED" in body
    assert str(LIMIT).encode() in body
    await assert_nothing_left(small)
    await assert_works(person)


async def test_an_upload_that_is_broken_off_leaves_nothing(small: Product) -> None:
    person = await small.sign_up()
    address = urlsplit(small.url)
    for cut in (40, 300, len(GOOD) - 20):
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(
            f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {person.token}\r\n"
            f"x-colloquy-preflight: 1\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
            f"Content-Length: {len(GOOD)}\r\n\r\n".encode()
            + GOOD[:cut]
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    # The server has one loop: once it answers this, it has noticed the closed connections before it.
    await person.query("{ viewer { user { id } } }")
    await assert_nothing_left(small)
    await assert_works(person)


async def test_without_a_header_that_a_foreign_page_cannot_send_an_upload_is_refused(product: Product) -> None:
    person = await product.sign_up()
    reply = await send(product, person.token, GOOD, x_colloquy_preflight=None)
    status, code, message = reply.error
    assert (status, code) == (400, "BAD_USER_INPUT")
    assert "x-colloquy-preflight" in message
    await assert_nothing_left(person)
    apollo = await send(product, person.token, GOOD, x_colloquy_preflight=None, apollo_require_preflight="true")
    assert apollo.body["data"]["uploadDocument"]["__typename"] == "UploadDocumentPayload"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        GOOD[: len(GOOD) // 2],
        GOOD[:-4].replace(b"\r\n", b"\n"),
        form(operations(), file_map(), Part("0", TEXT, "a.txt"), Part("1", TEXT, "b.txt")),
        form(*[Part(str(number), b"x") for number in range(12)], operations(), file_map(), FILE),
        form(Part("operations", b"{"), file_map(), FILE),
        form(Part("operations", b"\xff\xfe"), file_map(), FILE),
        form(Part("operations", b'{"query": "{ viewer { user { id } } }", "operationName": "\xe9"}'), file_map({})),
        form(Part("operations", b'{"query": ""}'), file_map({"t": ["query"]}), Part("t", b"{ viewer { id } }")),
        form(Part("operations", b"null"), file_map(), FILE),
        form(Part("operations", b"7"), file_map({}), FILE),
        form(Part("operations", b'"text"'), file_map({}), FILE),
        form(Part("operations", b"[]"), file_map(), FILE),
        form(Part("operations", b"[1]"), file_map({"0": ["0.variables.input.file"]}), FILE),
        form(Part("operations", b'{"query": 1}'), file_map({}), FILE),
        form(Part("operations", b'{"query": "{viewer{user{id}}}", "variables": 1}'), file_map(), FILE),
        form(Part("operations", b"[" * 5_000), file_map(), FILE),
        form(Part("operations", b'{"x":' * 900 + b"1" + b"}" * 900), file_map(), FILE),
        form(operations(), Part("map", b"{"), FILE),
        form(operations(), file_map([]), FILE),
        form(operations(), file_map("0"), FILE),
        form(operations(), file_map({"0": 7}), FILE),
        form(operations(), file_map({"0": [7]}), FILE),
        form(operations(), file_map({"0": [None]}), FILE),
        form(operations(), file_map({"0": ["variables.input.file.more"]}), FILE),
        form(operations(), file_map({"0": ["query.x"]}), FILE),
        form(operations(), file_map({"0": ["nothing.like.it"]}), FILE),
        form(operations(), file_map({"7": FILE_MAP["0"]}), FILE),
        form(operations(), file_map()),
        form(file_map(), FILE),
        form(Part("operations", operations().content, "operations.json"), file_map(), FILE),
    ],
)
async def test_a_malformed_form_is_refused_in_graphql_s_own_form_and_leaves_nothing(
    product: Product, body: bytes
) -> None:
    person = await product.sign_up()
    status, code, _ = (await send(product, person.token, body)).error
    assert status in (200, 400)
    assert code in ("BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED")
    await assert_nothing_left(person)
    await assert_works(person)


LISTS = b'{"query": "{ __typename }", "variables": {"a": [' + b",".join([b"[]"] * 90_000) + b"]}}"
OPERATION_BYTES = 32_768 + 262_144
BEYOND = {
    "operations": (form(Part("operations", b" " * (OPERATION_BYTES + 1))), 413, "form_field_bytes", OPERATION_BYTES),
    "map": (form(operations(), file_map({"0": FILE_MAP["0"] * 200}), FILE), 413, "form_field_bytes", 4_096),
    "any field": (form(Part("more", b" " * (OPERATION_BYTES + 1))), 413, "form_field_bytes", OPERATION_BYTES),
    "values": (form(Part("operations", LISTS), file_map({})), 400, "input_values", 10_000),
}


@pytest.mark.parametrize("what", BEYOND)
async def test_a_form_beyond_a_limit_is_told_which_and_leaves_nothing(product: Product, what: str) -> None:
    body, expected, kind, limit = BEYOND[what]
    person = await product.sign_up()
    reply = await send(product, person.token, body)
    status, code, message = reply.error
    assert (status, code) == (expected, "LIMIT_EXCEEDED")
    told = reply.body["errors"][0]["extensions"]
    assert (told["kind"], told["limit"]) == (kind, limit)
    assert str(limit) in message
    assert str(told["actual"]) in message if kind == "input_values" else "`" in message
    await assert_nothing_left(person)
    await assert_works(person)


async def test_the_greatest_operation_of_a_form_is_taken(product: Product) -> None:
    person = await product.sign_up()
    shorter = operations()
    room = OPERATION_BYTES - len(shorter.content)
    reply = await send(product, person.token, form(Part("operations", shorter.content + b" " * room), file_map(), FILE))
    assert reply.body["data"]["uploadDocument"]["__typename"] == "UploadDocumentPayload"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        ("multipart/form-data; boundary=x; charset=utf-16", 415),
        ("multipart/mixed", 415),
        ("text/plain", 415),
    ],
)
async def test_a_content_type_that_is_none_of_an_upload_is_refused(product: Product, kind: str, expected: int) -> None:
    person = await product.sign_up()
    status, code, _ = (await send(product, person.token, GOOD, **{"Content-Type": kind})).error
    assert (status, code) == (expected, "BAD_USER_INPUT")
    await assert_nothing_left(person)


async def test_a_form_without_its_file_says_which_part_is_missing(product: Product) -> None:
    person = await product.sign_up()
    _, _, message = (await send(product, person.token, form(operations(), file_map()))).error
    assert "missing" in message.lower()
    _, code, message = (await send(product, person.token, form(operations(), file_map({})))).error
    assert code == "GRAPHQL_VALIDATION_FAILED"
    assert "file" in message


@pytest.mark.parametrize("file", ["notes.txt", "", {"name": "notes.txt"}, 7, ["a"]])
async def test_a_file_that_is_no_part_of_a_form_is_refused(product: Product, file: object) -> None:
    person = await product.sign_up()
    body = await person.raw(UPLOAD, input={"file": file})
    (error,) = body["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "multipart request" in error["message"]
    plain = form(operations(), file_map(), Part("0", TEXT))
    _, code, message = (await send(product, person.token, plain)).error
    assert (code, "multipart request" in message) == ("BAD_USER_INPUT", True)
    await assert_nothing_left(person)


async def test_a_file_cannot_come_through_a_socket(product: Product) -> None:
    person = await product.sign_up()
    async with product.socket(person.token) as socket:
        payload = {"query": UPLOAD, "variables": {"input": {"file": "notes.txt"}}}
        await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
        frame = json.loads((await socket.receive()).data)
    assert "multipart request" in frame["payload"]["errors"][0]["message"]
    await assert_nothing_left(person)


@pytest.mark.parametrize("told", [True, False], ids=["with a length", "without a length"])
async def test_a_request_without_a_file_has_a_limit_of_its_own(product: Product, told: bool) -> None:
    limit = product.settings.request_max_bytes
    for size, status in ((limit - 200, 200), (limit + 1, 413)):
        body = json.dumps({"query": "{ __typename }", "variables": {"x": "a" * size}}).encode()
        headers = {"Content-Type": "application/json"}
        sent = io.BytesIO(body) if told else in_pieces(body)
        async with product.http.post(f"{product.url}/graphql", data=sent, headers=headers) as response:
            answer = await response.json()
        assert response.status == status, answer
        if status == 413:
            assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
            assert str(limit) in answer["errors"][0]["message"]


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("USER", 403)])
async def test_who_may_not_upload_is_told_before_the_file_is_received(
    product: Product, role: str | None, status: int
) -> None:
    person = await product.sign_up()
    if role is not None:
        await set_role(person, role)
    address = urlsplit(product.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    authorization = f"Authorization: Bearer {person.token}\r\n" if role else ""
    writer.write(
        f"POST /graphql HTTP/1.1\r\nHost: localhost\r\n{authorization}x-colloquy-preflight: 1\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: 90000000\r\n\r\n".encode()
        + GOOD
    )
    await writer.drain()
    # The rest is never sent: whoever waited for it would not answer.
    assert f" {status} ".encode() in await reader.readuntil(b"\r\n")
    writer.close()
    await assert_nothing_left(person)


async def test_one_file_for_two_uploads_is_read_twice(product: Product) -> None:
    person = await product.sign_up()
    query = """mutation($a: UploadDocumentInput!, $b: UploadDocumentInput!) {
      a: uploadDocument(input: $a) { __typename } b: uploadDocument(input: $b) { __typename } }"""
    variables = {"a": {"file": None}, "b": {"file": None}}
    places = {"0": ["variables.a.file", "variables.b.file"]}
    content = Part("operations", json.dumps({"query": query, "variables": variables}).encode())
    reply = await send(product, person.token, form(content, file_map(places), FILE))
    assert [reply.body["data"][name]["__typename"] for name in "ab"] == ["UploadDocumentPayload", "DuplicateDocument"]
