"""Attacks by what is wrong with an HTTP request: its body, its type, its method, the page that it comes from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

from target import START, VIEWER, Attack, Target

from app.cookies import COOKIE, HEADER
from multipart import BOUNDARY, Part, file_map, form, operations

_FORM = f"multipart/form-data; boundary={BOUNDARY}"
_FOREIGN = "https://evil.example"
_REFRESH = "mutation { refreshSession { __typename ... on UserError { code } } }"
_NEST = 100_000
_FEWER = 9_990
"""Fewer values than a request may have."""

Send = Callable[[Target], Awaitable[str]]


def _body(content: bytes, **headers: str) -> Send:
    """A body in place of the JSON of a request."""
    return lambda target: target.graphql(content, target.attacker.token, **headers)


def _by_nobody(content: bytes) -> Send:
    return lambda target: target.graphql(content)


def _flooded(member: str, value: bytes, size: int = 990_000) -> bytes:
    """A request with so many bytes of one value in a member."""
    filled = b",".join([value] * (size // (len(value) + 1)))
    return b'{"query":"{__typename}","%s":{"a":[%s]}}' % (member.encode(), filled)


def _raw(*pieces: str | bytes, closing: bool = False) -> Send:
    """Bytes on a connection."""
    encoded = [piece if isinstance(piece, bytes) else piece.encode() for piece in pieces]
    return lambda target: target.bytes(*encoded, closing=closing)


def _post(*headers: str) -> str:
    return "\r\n".join(("POST /graphql HTTP/1.1", "Host: localhost", *headers, "", ""))


def _slow(start: str | bytes, piece: bytes) -> Send:
    """Twenty connections on which so much comes ten times a second."""
    head = start if isinstance(start, bytes) else start.encode()

    async def send(target: Target) -> str:
        outcomes = await asyncio.gather(*(target.drip(head, piece) for _ in range(20)))
        return " / ".join(sorted(set(outcomes)))

    return send


def _upload(body: bytes, content_type: str = _FORM) -> Send:
    return lambda target: target.graphql(
        body, target.attacker.token, Content_Type=content_type, x_colloquy_preflight="1"
    )


def _from_elsewhere(method: str, path: str, body: bytes | None, **headers: str) -> Send:
    """As a page of another site has the victim's browser send it: with the victim's cookie."""

    return lambda target: target.request(
        method, path, body, Origin=_FOREIGN, Cookie=f"{COOKIE}={target.cookie}", **headers
    )


_JSON = "Content-Type: application/json"
_MUTATION = json.dumps({"query": START}).encode()
_BY_COOKIE = json.dumps({"query": _REFRESH}).encode()
_BATCH = json.dumps([{"query": VIEWER}] * 100).encode()
_ROW = _post(_JSON, f"Content-Length: {len(_MUTATION)}").encode() + _MUTATION

ROWS: Final = [
    # Bodies
    Attack("an array of requests", "400 BAD_USER_INPUT", _body(_BATCH)),
    Attack("an array of arrays", "400 LIMIT_EXCEEDED input_values", _body(b"[" * _NEST + b"]" * _NEST)),
    Attack(
        "deep variables", "400 LIMIT_EXCEEDED input_values", _body(b'{"query":"{a}","variables":' + b'{"a":' * _NEST)
    ),
    Attack(
        "variables of fewer levels", "400 BAD_USER_INPUT", _body(b'{"query":"{a}","variables":' + b'{"a":' * _FEWER)
    ),
    *(
        Attack(f"a megabyte of {what} in {member}", "400 LIMIT_EXCEEDED input_values", _body(_flooded(member, value)))
        for member, what, value in (
            ("variables", "lists", b"[]"),
            ("variables", "objects", b'{"":{}}'),
            ("variables", "numbers", b"1"),
            ("variables", "texts", b'""'),
            ("variables", "escaped texts", b'"\\\\"'),
            ("extensions", "lists", b"[]"),
            ("nothing_known", "lists", b"[]"),
        )
    ),
    Attack(
        "a megabyte of lists, by nobody", "400 LIMIT_EXCEEDED input_values", _by_nobody(_flooded("variables", b"[]"))
    ),
    Attack(
        "lists in a list, as many as may be",
        "400 LIMIT_EXCEEDED list_items",
        _body(b'{"query":"{__typename}","variables":{"a":[' + b",".join([b"[]"] * _FEWER) + b"]}}"),
    ),
    Attack(
        "lists in extensions, as many as may be",
        "400 LIMIT_EXCEEDED list_items",
        _body(b'{"query":"{__typename}","extensions":{"a":[' + b",".join([b"[]"] * _FEWER) + b"]}}"),
    ),
    Attack(
        "a text of 900,000 commas", "400 LIMIT_EXCEEDED document_bytes", _body(b'{"query":"' + b"," * 900_000 + b'"}')
    ),
    Attack("a number of 400,000 digits", "400 BAD_USER_INPUT", _body(b'{"query":' + b"9" * 400_000 + b"}")),
    Attack(
        "a number of 400,000 digits in variables",
        "400 BAD_USER_INPUT",
        _body(b'{"query":"{__typename}","variables":{"a":' + b"9" * 400_000 + b"}}"),
    ),
    Attack(
        "a query of 900,000 characters",
        "400 LIMIT_EXCEEDED document_bytes",
        _body(b'{"query":"' + b"x" * 900_000 + b'"}'),
    ),
    Attack("no JSON", "400 BAD_USER_INPUT", _body(b"{" * _FEWER)),
    Attack("half of a JSON text", "400 BAD_USER_INPUT", _body(_MUTATION[:-5])),
    Attack("no UTF-8", "400 BAD_USER_INPUT", _body(b'{"query":"\xff\xfe\xfa"}')),
    Attack("a compressed body", "415 BAD_USER_INPUT", _body(b"\x1f\x8b" + b"\0" * 1_000, Content_Encoding="gzip")),
    Attack("a body of 10 MB", "413 LIMIT_EXCEEDED request_bytes", _raw(_post(_JSON, "Content-Length: 10000000"))),
    Attack(
        "a body without a length, of 10 MB",
        "413 LIMIT_EXCEEDED request_bytes",
        _raw(_post(_JSON, "Transfer-Encoding: chunked"), *[b"10000\r\n" + b" " * 65_536 + b"\r\n"] * 18),
    ),
    Attack("a length of 10^30", "400", _raw(_post(_JSON, "Content-Length: 1" + "0" * 30))),
    Attack("a negative length", "400", _raw(_post(_JSON, "Content-Length: -1"))),
    Attack("two lengths", "400", _raw(_post(_JSON, "Content-Length: 4", "Content-Length: 40"), "{}{}")),
    Attack(
        "a length and pieces",
        "400",
        _raw(_post(_JSON, "Content-Length: 4", "Transfer-Encoding: chunked"), "0\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
    ),
    Attack(
        "a truncated body",
        "closed by the client",
        _raw(_post(_JSON, "Content-Length: 500"), '{"query": "{ viewer', closing=True),
    ),
    Attack(
        "a header of 100,000 bytes", "431", _raw(_post(_JSON, "X-Long: " + "x" * 100_000, "Content-Length: 2"), "{}")
    ),
    Attack(
        "10,000 headers",
        "431",
        _raw(_post(_JSON, *[f"X-{number}: 1" for number in range(10_000)], "Content-Length: 2"), "{}"),
    ),
    Attack("a slow head", "408", _slow("POST /graphql HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"x"), 20, 1),
    Attack(
        "a slow body", "408 BAD_USER_INPUT", _slow(_post(_JSON, "Content-Length: 5000") + '{"query": "', b"x"), 20, 1
    ),
    Attack("connections on which nothing comes", "408", _slow(b"", b""), 20, 1),
    Attack("requests in a row, then the end", "closed", lambda target: target.half_closed(_ROW * 3)),
    Attack("requests in a row, then gone", "closed by the client", _raw(_ROW * 3, closing=True)),
    Attack("no HTTP", "400", _raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200)),
    # Uploads
    Attack("a form without its boundary", "400 BAD_USER_INPUT", _upload(b"x" * 1_000, "multipart/form-data")),
    Attack("a form of 10,000 parts", "400 BAD_USER_INPUT", _upload(form(*[Part("a", b"")] * 10_000))),
    Attack("a part with a header of 500,000 bytes", "400 BAD_USER_INPUT", _upload(form(Part("x" * 500_000, b"")))),
    Attack("a form of boundaries", "400 BAD_USER_INPUT", _upload(f"--{BOUNDARY}\r\n".encode() * 30_000)),
    Attack(
        "a truncated form",
        "400 BAD_USER_INPUT",
        _upload(form(operations(), file_map(), Part("0", b"text", "a.txt"))[:150]),
    ),
    Attack(
        "a file in 100 places",
        "400 BAD_USER_INPUT",
        _upload(
            form(
                operations(),
                file_map({"0": [f"variables.input.{number}.file" for number in range(100)]}),
                Part("0", b"text", "a.txt"),
            )
        ),
    ),
    *(
        Attack(
            f"a form, {what} in its operations",
            "413 LIMIT_EXCEEDED form_field_bytes" if size > 294_912 else "400 LIMIT_EXCEEDED input_values",
            _upload(form(Part("operations", _flooded("variables", value, size)), file_map({}))),
        )
        for what, value, size in (
            ("a megabyte of lists", b"[]", 990_000),
            ("a megabyte of objects", b'{"":{}}', 990_000),
            ("as many lists as fit", b"[]", 290_000),
            ("as many objects as fit", b'{"":{}}', 290_000),
        )
    ),
    Attack(
        "a form, lists in its operations, and a file for them",
        "400 LIMIT_EXCEEDED input_values",
        _upload(
            form(
                Part("operations", _flooded("variables", b"[]", 290_000)),
                file_map({"0": ["variables.b"]}),
                Part("0", b"text", "a.txt"),
            )
        ),
    ),
    Attack(
        "a form, as many lists as may be",
        "400 LIMIT_EXCEEDED list_items",
        _upload(form(Part("operations", _flooded("variables", b"[]", 3 * _FEWER - 60)), file_map({}))),
    ),
    Attack(
        "a file in 65,000 places",
        "413 LIMIT_EXCEEDED form_field_bytes",
        _upload(form(operations(), file_map({"0": ["variables.f"] * 65_000}), Part("0", b"text", "a.txt"))),
    ),
    # Pages of other sites
    Attack(
        "a mutation by GET",
        "405 BAD_USER_INPUT",
        lambda target: target.request("GET", f"/graphql?query={quote(START)}"),
    ),
    Attack(
        "a mutation by GET, from elsewhere",
        "405 BAD_USER_INPUT",
        _from_elsewhere("GET", f"/graphql?query={quote(_REFRESH)}", None),
    ),
    Attack(
        "a form of another site",
        "415 BAD_USER_INPUT",
        _from_elsewhere(
            "POST", "/graphql", f"query={quote(_REFRESH)}".encode(), Content_Type="application/x-www-form-urlencoded"
        ),
    ),
    Attack(
        "JSON as text/plain, from elsewhere",
        "415 BAD_USER_INPUT",
        _from_elsewhere("POST", "/graphql", _BY_COOKIE, Content_Type="text/plain"),
    ),
    Attack("JSON as nothing, from elsewhere", "415 BAD_USER_INPUT", _from_elsewhere("POST", "/graphql", _BY_COOKIE)),
    Attack(
        "a multipart form of another site",
        "400 BAD_USER_INPUT",
        _from_elsewhere(
            "POST",
            "/graphql",
            form(Part("operations", _BY_COOKIE), file_map({}), Part("0", b"text", "a.txt")),
            Content_Type=_FORM,
        ),
    ),
    Attack(
        "the cookie, without the header",
        "200 INVALID_CREDENTIALS",
        _from_elsewhere("POST", "/graphql", _BY_COOKIE, Content_Type="application/json"),
    ),
    Attack(
        "the cookie, with the header, from elsewhere",
        "403 FORBIDDEN",
        _from_elsewhere(
            "POST",
            "/graphql",
            _BY_COOKIE,
            Content_Type="application/json",
            **{HEADER: "1"},
        ),
    ),
]
