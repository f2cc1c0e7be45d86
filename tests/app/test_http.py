"""GraphQL over HTTP, beyond what the public audits ask: each wrong request has its status and its reason in JSON."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from app.negotiation import JSON, RESPONSE, media_type_for
from core.settings import Settings
from multipart import FILE_MAP, Part, form, operations
from product import START, Product, running_product

NAME = b'{"query": "{ __typename }"}'


async def ask(
    product: Product, body: Any = NAME, method: str = "POST", target: str = "/graphql", **headers: str | None
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers (names in small letters); a header of None is left out."""
    given = {"Content-Type": JSON if method == "POST" else None} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    sent = {name: value for name, value in given.items() if value is not None}
    skip = [] if "Content-Type" in sent else ["Content-Type"]
    async with product.http.request(
        method, f"{product.url}{target}", data=body, headers=sent, skip_auto_headers=skip
    ) as response:
        text = await response.read()
        return (
            response.status,
            json.loads(text) if text else {},
            {name.lower(): value for name, value in response.headers.items()},
        )


def error_of(body: dict[str, Any]) -> tuple[str, str]:
    """Code and message of the one error, which has a request id and no data beside it."""
    (error,) = body["errors"]
    assert len(error["extensions"]["requestId"]) == 32
    assert "data" not in body
    return error["extensions"]["code"], error["message"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ([], JSON),
        (["*/*"], JSON),
        (["application/*"], JSON),
        (["text/html,application/xhtml+xml,*/*;q=0.8"], JSON),
        ([RESPONSE], RESPONSE),
        ([f"{RESPONSE}; charset=utf-8, {JSON}; charset=utf-8"], RESPONSE),
        ([f"{JSON}, {RESPONSE}"], JSON),
        ([f"{JSON};q=0.9, {RESPONSE}"], RESPONSE),
        ([JSON, f"{RESPONSE};q=0.1"], JSON),
        (["Application/JSON"], JSON),
        ([f"{JSON};q=0, */*"], RESPONSE),
        ([f"*/*, {JSON};q=0.1"], RESPONSE),
        ([f"{JSON};q=0"], None),
        ([f"{JSON};q=nan"], None),
        ([f"{JSON};charset=utf-16"], None),
        (["text/html"], None),
        (["image/*, text/event-stream"], None),
        ([""], JSON),
    ],
)
def test_the_type_of_the_response_is_the_one_that_the_client_likes_best(
    accept: list[str], expected: str | None
) -> None:
    assert media_type_for(accept) == expected


async def test_whoever_takes_neither_type_is_told_so_and_nothing_is_executed(product: Product) -> None:
    person = await product.sign_up()
    body = json.dumps({"query": START, "variables": {"input": {}}}).encode()
    status, answer, _ = await ask(product, body, Accept="text/html", Authorization=f"Bearer {person.token}")
    assert status == 406
    assert "application/graphql-response+json" in error_of(answer)[1]
    nodes = await person.query("{ viewer { conversations { nodes { id } } } }")
    assert nodes["viewer"]["conversations"]["nodes"] == []


@pytest.mark.parametrize(
    ("request_body", "code", "status"),
    [
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED", 400),
        ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED", 400),
        ({"query": "query A { __typename }", "operationName": "B"}, "BAD_USER_INPUT", 400),
        ({"query": "query A { __typename } query B { __typename }"}, "BAD_USER_INPUT", 400),
        ({"query": "fragment F on Query { __typename }"}, "BAD_USER_INPUT", 400),
        ({"query": "query($id: ID!) { node(id: $id) { id } }"}, "GRAPHQL_VALIDATION_FAILED", 400),
        ({"query": "{ " + "a: __typename " * 16 + "}"}, "LIMIT_EXCEEDED", 400),
    ],
)
async def test_what_is_refused_before_it_is_executed_has_a_status_in_the_newer_type_alone(
    product: Product, request_body: dict[str, Any], code: str, status: int
) -> None:
    body = json.dumps(request_body).encode()
    for accept, expected in ((RESPONSE, status), (JSON, 200)):
        got, answer, headers = await ask(product, body, Accept=accept)
        assert (got, error_of(answer)[0]) == (expected, code)
        assert headers["content-type"] == f"{accept}; charset=utf-8"
        assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("accept", [RESPONSE, JSON])
async def test_an_error_of_a_field_is_part_of_a_successful_response(product: Product, accept: str) -> None:
    status, body, _ = await ask(
        product, b'{"query": "{ viewer { user { id } } node(id: \\"?\\") { id } }"}', Accept=accept
    )
    assert status == 200
    assert body["data"] == {"viewer": None, "node": None}


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason"),
    [
        (b"", {}, 400, "empty"),
        (b"{", {}, 400, "not JSON"),
        (b'{"query": "\xff"}', {}, 400, "not JSON in UTF-8"),
        ('{"query": "{ __typename }"}'.encode("utf-16"), {}, 400, "not JSON in UTF-8"),
        (b"[" * 2_000, {}, 400, "not JSON"),
        (b'[{"query": "{ __typename }"}]', {}, 400, "Batching is off"),
        (b'"{ __typename }"', {}, 400, "JSON object"),
        (b"null", {}, 400, "JSON object"),
        (b"{}", {}, 400, "no `query`"),
        (b'{"query": ""}', {}, 400, "no `query`"),
        (b'{"query": null}', {}, 400, "no `query`"),
        (b'{"extensions": {"persistedQuery": null}}', {}, 400, "no `query`"),
        (b'{"query": "", "extensions": {"persistedQuery": null}}', {}, 400, "no `query`"),
        (b'{"query": {"a": 1}}', {}, 400, "`query` must be a string"),
        (b'{"query": "{ __typename }", "operationName": 1}', {}, 400, "`operationName` must be a string"),
        (b'{"query": "{ __typename }", "variables": "{}"}', {}, 400, "`variables` must be an object"),
        (b'{"query": "{ __typename }", "extensions": []}', {}, 400, "`extensions` must be an object"),
        (NAME, {"Content-Type": None}, 415, "application/json"),
        (NAME, {"Content-Type": "text/plain"}, 415, "application/json"),
        (NAME, {"Content-Encoding": "gzip"}, 415, "must not be compressed"),
        (NAME, {"Content-Type": "text/plain; a=application/json"}, 415, "application/json"),
        (NAME, {"Content-Type": "application/jsonp"}, 415, "application/json"),
        (NAME, {"Content-Type": "application/x-www-form-urlencoded"}, 415, "application/json"),
        (NAME, {"Content-Type": "application/graphql"}, 415, "application/json"),
        (NAME, {"Content-Type": "application/json; charset=latin-1"}, 415, "UTF-8"),
    ],
)
async def test_a_request_that_is_none_is_refused_with_its_reason_whatever_the_type_of_the_response(
    product: Product,
    caplog: pytest.LogCaptureFixture,
    body: bytes,
    headers: dict[str, str | None],
    status: int,
    reason: str,
) -> None:
    with caplog.at_level(logging.WARNING):
        for accept in (RESPONSE, JSON):
            got, answer, told = await ask(product, body, Accept=accept, **headers)
            code, message = error_of(answer)
            assert (got, code) == (status, "BAD_USER_INPUT")
            assert reason in message
            assert told["content-type"] == f"{accept}; charset=utf-8"
    assert caplog.records == []


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; Charset=UTF-8", 'application/json;charset="utf-8"']
)
async def test_json_is_taken_however_its_type_is_written(product: Product, kind: str) -> None:
    assert (await ask(product, **{"Content-Type": kind}))[1] == {"data": {"__typename": "Query"}}


async def test_a_malformed_form_of_someone_who_may_upload_is_refused(product: Product) -> None:
    person = await product.sign_up()
    given = {"Authorization": f"Bearer {person.token}", "x-colloquy-preflight": "1"}
    kind = "multipart/form-data; boundary=----boundary7MA4YWxk"
    batch = form(Part("operations", b'[{"query": "{ __typename }"}]'), Part("map", b"{}"))
    for body, reason in (
        (b"nonsense", "multipart"),
        (batch, "Batching"),
        (form(operations(), Part("map", json.dumps(FILE_MAP).encode())), "missing"),
    ):
        status, answer, _ = await ask(product, body, **{"Content-Type": kind}, **given)
        assert status == 400
        assert reason in error_of(answer)[1]


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("", 400, "no `query`"),
        ("query=", 400, "no `query`"),
        ("query=%ff", 400, "UTF-8"),
        ("query={__typename}&query={__typename}", 400, "twice"),
        ("query={__typename}&variables=1", 400, "`variables` must be an object"),
        ("query={__typename}&variables={", 400, "`variables` is not JSON"),
        ("query={__typename}&extensions=[]", 400, "`extensions` must be an object"),
        ("query={__typename}" + "&a=1" * 30, 400, "too many"),
        ("query=" + quote("mutation { signOut { __typename } }"), 405, "mutations are not allowed"),
        ("query=" + quote('subscription { answer(id: "x") { __typename } }'), 400, "ask for one by `Accept:"),
    ],
)
async def test_a_url_that_is_no_query_is_refused(product: Product, query: str, status: int, reason: str) -> None:
    got, answer, headers = await ask(product, None, "GET", f"/graphql?{query}", Accept="text/html, */*;q=0.8")
    assert got == status
    assert reason in error_of(answer)[1]
    if status == 405:
        assert headers["allow"] == "POST"


async def test_a_url_carries_all_that_a_body_can(product: Product) -> None:
    query = quote(
        "query A { __typename } query B($first: Int) { viewer { conversations(first: $first) { nodes { id } } } }"
    )
    token = (await product.sign_up()).token
    target = f"/graphql?query={query}&operationName=B&variables={quote(json.dumps({'first': 2}))}"
    target += f"&extensions={quote(json.dumps({'cost': True}))}"
    status, body, _ = await ask(product, None, "GET", target, Authorization=f"Bearer {token}")
    assert (status, body["data"]) == (200, {"viewer": {"conversations": {"nodes": []}}})
    assert body["extensions"]["cost"]["requested"] > 0
    _, body, _ = await ask(product, None, "GET", f"/graphql?query={quote('{ __typename }')}&operationName=&variables=")
    assert body == {"data": {"__typename": "Query"}}


async def test_a_mutation_by_get_changes_nothing(product: Product) -> None:
    person = await product.sign_up()
    target = f"/graphql?query={quote(START)}&variables={quote(json.dumps({'input': {}}))}"
    status, _, _ = await ask(product, None, "GET", target, Authorization=f"Bearer {person.token}")
    assert status == 405
    nodes = await person.query("{ viewer { conversations { nodes { id } } } }")
    assert nodes["viewer"]["conversations"]["nodes"] == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
async def test_another_method_is_refused_with_those_that_there_are(product: Product, method: str) -> None:
    status, body, headers = await ask(product, NAME if method == "PUT" else None, method)
    assert (status, headers["allow"]) == (405, "GET, POST")
    if method != "HEAD":
        assert error_of(body)[0] == "BAD_USER_INPUT"


async def test_who_is_refused_as_a_whole_is_told_how_to_sign_in(product: Product) -> None:
    kind = "multipart/form-data; boundary=x"
    status, answer, headers = await ask(product, b"--x--", **{"Content-Type": kind, "x-colloquy-preflight": "1"})
    assert (status, error_of(answer)[0]) == (401, "UNAUTHENTICATED")
    assert headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("kind", "begun"), [("application/json", '{"query": '), ("multipart/form-data; boundary=x", "--x\r\n")]
)
async def test_a_body_that_does_not_arrive_is_waited_for_only_so_long(
    settings: Settings, kind: str, begun: str
) -> None:
    async with running_product(settings.model_copy(update={"request_timeout": 0.3}), worker=False) as hasty:
        token = (await hasty.sign_up()).token
        address = urlsplit(hasty.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(
            f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n"
            f"Authorization: Bearer {token}\r\nx-colloquy-preflight: 1\r\n\r\n{begun}".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        writer.close()
    assert b" 408 " in head
    assert "0.3 seconds" in error_of(answer)[1]


async def test_a_body_that_is_broken_off_is_no_fault_of_ours(
    product: Product, caplog: pytest.LogCaptureFixture
) -> None:
    address = urlsplit(product.url)
    with caplog.at_level(logging.WARNING):
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(
            b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        # The server has one loop: once it answers this, it has noticed the closed connection before it.
        assert (await ask(product))[0] == 200
    assert caplog.records == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Content-Type: text/plain", 415),
        ("Content-Type: application/json\r\nContent-Encoding: gzip", 415),
        ("Content-Type: application/json\r\nAccept: text/html", 406),
        ("Content-Type: application/json", 413),
    ],
)
async def test_a_large_body_that_is_refused_does_not_cost_the_client_its_answer(
    product: Product, headers: str, status: int
) -> None:
    reader, writer = await asyncio.open_connection(*product.address)
    head = f"POST /graphql HTTP/1.1\r\nHost: x\r\n{headers}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    # The connection is closed behind the answer, which a client reads that has sent everything.
    for _ in range(80):
        writer.write(b"40000\r\n" + bytes(256 * 1024) + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    answer, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert error_of(json.loads(body))[0] in ("BAD_USER_INPUT", "LIMIT_EXCEEDED")


@pytest.mark.parametrize(
    ("codings", "status"),
    [
        (["identity", "gzip"], 415),
        (["identity, gzip"], 415),
        (["gzip", "identity"], 415),
        (["identity", "identity"], 200),
        ([], 200),
    ],
)
async def test_every_line_says_how_a_body_is_compressed(product: Product, codings: list[str], status: int) -> None:
    headers = [("Content-Type", JSON), *(("Content-Encoding", coding) for coding in codings)]
    url = f"{product.url}/graphql"
    async with product.http.post(url, data=NAME, headers=headers, skip_auto_headers=["Content-Encoding"]) as response:
        assert response.status == status
