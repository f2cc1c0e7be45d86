"""What browsers are told, and what pages of other sites cannot do: headers, CORS, CSRF, cookies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from app.cookies import COOKIE
from app.headers import COMMON, HSTS
from core.settings import Settings
from owner import as_owner
from product import PASSWORD, START, Product, running_product

APP = "https://app.example.test"
EVIL = "https://evil.example.test"
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) {
  ... on SignInPayload { session { accessToken refreshToken } } ... on UserError { code } } }"""
REFRESH = """mutation { refreshSession {
  ... on RefreshSessionPayload { session { accessToken refreshToken } } ... on UserError { code } } }"""
CSRF = {"x-colloquy-csrf": "1"}


@pytest.fixture(scope="module")
async def open_to_app(shared_settings: Settings, product: Product) -> AsyncIterator[Product]:
    """The shared product's data, served once more: in production, to pages of `APP`."""
    settings = shared_settings.model_copy(
        update={"environment": "production", "cors_origins": (APP,), "account_url": f"{APP}/account"}
        | {"request_timeout": 1.0}
    )
    async with running_product(settings, worker=False, flush=False) as running:
        yield running


async def send(
    product: Product, body: Any = None, method: str = "POST", path: str = "/graphql", **headers: str
) -> tuple[int, aiohttp.ClientResponse, bytes]:
    """One request without what this client adds by itself."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    if isinstance(body, dict):
        given.setdefault("Content-Type", "application/json")
    async with product.http.request(
        method, f"{product.url}{path}", data=data, headers=given, allow_redirects=False
    ) as response:
        return response.status, response, await response.read()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/graphql", 400),
        ("PUT", "/graphql", 405),
        ("GET", "/graphql?query={__typename}", 200),
        ("GET", "/", 200),
        ("GET", "/healthz", 200),
        ("GET", "/files/x", 404),
        ("GET", "/graphiql", 404),
        ("GET", "/nothing", 404),
        ("POST", "/healthz", 405),
    ],
)
async def test_every_response_carries_the_headers_errors_included(
    open_to_app: Product, method: str, path: str, status: int
) -> None:
    got, response, _ = await send(
        open_to_app, b"" if method == "POST" else None, method, path, Content_Type="application/json"
    )
    assert got == status
    headers = response.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; frame-ancestors 'none'")
    assert "no-store" in headers["Cache-Control"]
    assert headers["Vary"] == "Origin"


UPGRADE = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n"
BELOW = {
    "no HTTP": ("nonsense\r\n\r\n", 400),
    "a head that is too large": (f"GET / HTTP/1.1\r\nX-Long: {'x' * 70_000}\r\n\r\n", 431),
    "a head without an end": ("GET / HTTP/1.1\r\nHost: x\r\n", 408),
    "an upgrade from elsewhere": (f"GET /graphql HTTP/1.1\r\n{UPGRADE}{KEY}Origin: {EVIL}\r\n\r\n", 403),
    "an upgrade at another address": (f"GET /nothing HTTP/1.1\r\n{UPGRADE}{KEY}\r\n", 403),
    "an upgrade without a key": (f"GET /graphql HTTP/1.1\r\n{UPGRADE}\r\n", 400),
    "an upgrade of another version": (f"GET /graphql HTTP/1.1\r\n{UPGRADE.replace('13', '12')}{KEY}\r\n", 400),
    "an upgrade by POST": (f"POST /graphql HTTP/1.1\r\n{UPGRADE}{KEY}\r\n", 405),
}


@pytest.mark.parametrize("what", BELOW)
async def test_what_is_refused_before_the_application_carries_them_too(open_to_app: Product, what: str) -> None:
    sent, status = BELOW[what]
    address = urlsplit(open_to_app.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(sent.encode())
    line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    writer.close()
    pairs = [header.partition(": ")[::2] for header in lines]
    headers = {name.lower(): value for name, value in pairs}
    assert int(line.split()[1]) == status
    assert len(headers) == len(pairs), "none is there twice"
    for name, value in (COMMON | {"Strict-Transport-Security": HSTS, "Vary": "Origin"}).items():
        assert headers[name.lower()] == value
    assert headers["content-type"].startswith("text/plain")


async def test_a_fault_of_ours_carries_them_too(settings: Settings) -> None:
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        link = product.services.signer.sign_file(person.tenant_id, person.session_id, 2**33)
        await as_owner(settings, "DROP TABLE documents CASCADE")
        status, response, body = await send(product, None, "GET", f"/files/{link}")
    assert status == 500
    assert body == b"Internal Server Error"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_in_development_browsers_are_not_bound_to_https(product: Product) -> None:
    _, response, _ = await send(product, {"query": "{ __typename }"})
    assert "Strict-Transport-Security" not in response.headers
    assert "Vary" not in response.headers  # nobody elsewhere is allowed anything


async def test_a_preflight_allows_a_page_of_the_settings_what_it_needs_and_no_more(open_to_app: Product) -> None:
    names = ["authorization", "content-type", "x-colloquy-csrf", "x-colloquy-preflight", "apollo-require-preflight"]
    names.append("x-colloquy-cost")
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": ",".join(names)}
    status, response, _ = await send(open_to_app, None, "OPTIONS", Origin=APP, **asked)
    assert status == 200
    assert response.headers["Access-Control-Allow-Origin"] == APP
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Origin" in response.headers["Vary"]
    for name, value in (("Request-Method", "DELETE"), ("Request-Headers", "x-other")):
        refused = asked | {f"Access-Control-{name}": value}
        assert (await send(open_to_app, None, "OPTIONS", Origin=APP, **refused))[0] == 400
    _, response, _ = await send(open_to_app, {"query": "{ __typename }"}, Origin=APP)
    assert response.headers["Access-Control-Allow-Origin"] == APP


@pytest.mark.parametrize("origin", [EVIL, "null", "http://app.example.test", APP + ".evil.test", APP + ":8443"])
async def test_a_page_elsewhere_is_allowed_nothing(open_to_app: Product, product: Product, origin: str) -> None:
    for one in (open_to_app, product):
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        status, response, _ = await send(one, None, "OPTIONS", Origin=origin, **asked)
        assert status in (400, 405)
        assert "Access-Control-Allow-Origin" not in response.headers
        _, response, _ = await send(one, {"query": "{ __typename }"}, Origin=origin)
        assert "Access-Control-Allow-Origin" not in response.headers


async def sign_in_by_cookie(product: Product, email: str) -> tuple[str, str]:
    """The cookie's value, and its header."""
    body = {"query": SIGN_IN, "variables": {"input": {"email": email, "password": PASSWORD}}}
    _, response, text = await send(product, body, Origin=APP, **CSRF)
    session = json.loads(text)["data"]["signIn"]["session"]
    assert session["refreshToken"] is None
    header = response.headers["Set-Cookie"]
    product.http.cookie_jar.clear()
    return header.partition("=")[2].partition(";")[0], header


async def test_the_cookie_is_kept_from_scripts_from_other_sites_and_from_plain_http(open_to_app: Product) -> None:
    person = await open_to_app.sign_up("cookie@example.test")
    _, header = await sign_in_by_cookie(open_to_app, person.email)
    attributes = {part.strip().lower() for part in header.split(";")[1:]}
    assert {"httponly", "secure", "samesite=strict", "path=/graphql"} <= attributes


async def test_a_cookie_counts_only_with_the_header_and_from_a_page_that_may(open_to_app: Product) -> None:
    person = await open_to_app.sign_up("csrf@example.test")
    value, _ = await sign_in_by_cookie(open_to_app, person.email)
    cookie = {"Cookie": f"{COOKIE}={value}"}
    body = {"query": REFRESH}
    for headers, status in (
        ({"Origin": EVIL} | CSRF, 403),
        ({"Origin": "null"} | CSRF, 403),
        (CSRF, 403),
        ({"Origin": APP}, 200),
        ({}, 200),
    ):
        got, response, text = await send(open_to_app, body, **cookie, **headers)
        assert got == status, headers
        assert "Set-Cookie" not in response.headers
        if status == 403:
            assert json.loads(text)["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        else:
            assert "session" not in json.loads(text)["data"]["refreshSession"]
    # Had any of these used it, the token would be spent now, and the session with it.
    got, response, text = await send(open_to_app, body, Origin=APP, **cookie, **CSRF)
    open_to_app.http.cookie_jar.clear()
    assert "session" in json.loads(text)["data"]["refreshSession"]
    assert COOKIE in response.headers["Set-Cookie"]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"])
async def test_what_a_page_may_post_without_asking_executes_nothing(open_to_app: Product, kind: str) -> None:
    person = await open_to_app.sign_up(f"{kind[:11]}@example.test".replace("/", "-"))
    variables = {"input": {"email": person.email, "password": PASSWORD}}
    as_json = json.dumps({"query": SIGN_IN, "variables": variables}).encode()
    as_form = b"query=mutation+%7B+signOutEverywhere+%7B+__typename+%7D+%7D"
    as_parts = b'--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n' + as_json + b"\r\n--x--\r\n"
    before = await as_owner(
        open_to_app.settings, "SELECT count(*) FROM sessions WHERE tenant_id = $1", person.tenant_id
    )
    for body in (as_json, as_form, as_parts, as_json + b"="):
        status, response, text = await send(open_to_app, body, Origin=EVIL, Content_Type=kind)
        assert status in (400, 415)
        assert json.loads(text)["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        assert "Set-Cookie" not in response.headers
    after = await as_owner(open_to_app.settings, "SELECT count(*) FROM sessions WHERE tenant_id = $1", person.tenant_id)
    assert after == before


async def test_a_get_with_a_cookie_is_nobody_s(open_to_app: Product) -> None:
    person = await open_to_app.sign_up("get@example.test")
    value, _ = await sign_in_by_cookie(open_to_app, person.email)
    headers = {"Cookie": f"{COOKIE}={value}", "Origin": EVIL}
    for extra in ({}, CSRF):
        _, response, text = await send(
            open_to_app, None, "GET", "/graphql?query={viewer{user{id}}}", **headers, **extra
        )
        assert json.loads(text)["data"]["viewer"] is None
        assert "Set-Cookie" not in response.headers
        status, _, _ = await send(open_to_app, None, "GET", f"/graphql?query={REFRESH}", **headers, **extra)
        assert status == 405


async def test_a_page_elsewhere_cannot_open_a_socket(open_to_app: Product) -> None:
    url = f"{open_to_app.url}/graphql"
    for origin in (EVIL, "null", APP + ".evil.test"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await open_to_app.http.ws_connect(url, protocols=("graphql-transport-ws",), origin=origin)
        assert refused.value.status == 403
    for origin in (APP, open_to_app.url):
        async with open_to_app.http.ws_connect(url, protocols=("graphql-transport-ws",), origin=origin) as socket:
            await socket.send_json({"type": "connection_init"})
            assert (await socket.receive_json())["type"] == "connection_ack"


async def test_a_cookie_signs_nobody_in_on_a_socket(open_to_app: Product) -> None:
    person = await open_to_app.sign_up("socket@example.test")
    value, _ = await sign_in_by_cookie(open_to_app, person.email)
    headers = {"Cookie": f"{COOKIE}={value}", "Origin": APP} | CSRF
    async with open_to_app.http.ws_connect(
        f"{open_to_app.url}/graphql", protocols=("graphql-transport-ws",), headers=headers
    ) as socket:
        await socket.send_json({"type": "connection_init"})
        assert (await socket.receive_json())["type"] == "connection_ack"
        for number, query in enumerate((START, REFRESH)):
            variables = {"input": {}} if query == START else {}
            payload = {"query": query, "variables": variables}
            await socket.send_json({"id": str(number), "type": "subscribe", "payload": payload})
            answer = (await socket.receive_json())["payload"]
            if query == START:
                assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
            else:
                assert "session" not in answer["data"]["refreshSession"]
            assert (await socket.receive_json())["type"] == "complete"


HINT = "Did you mean"
MISSPELT = "{ viewr { id } }"
INTROSPECTION = "{ __schema { queryType { name } } }"


@pytest.mark.parametrize("query", [MISSPELT, INTROSPECTION, '{ __type(name: "Query") { name } }'])
async def test_production_tells_nothing_of_its_schema_on_any_transport(
    open_to_app: Product, product: Product, query: str
) -> None:
    async def answers(one: Product) -> list[str]:
        posted = (await send(one, {"query": query}))[2].decode()
        got = (await send(one, None, "GET", f"/graphql?query={query}"))[2].decode()
        async with one.socket(None) as socket:
            await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": query}})
            return [posted, got, (await socket.receive()).data]

    for text in await answers(open_to_app):
        assert "GRAPHQL_VALIDATION_FAILED" in text
        assert HINT not in text
    # As a control: in development the same is answered, or helped with.
    for text in await answers(product):
        assert HINT in text if query == MISSPELT else "GRAPHQL_VALIDATION_FAILED" not in text


async def test_graphiql_is_off_in_production_until_it_is_switched_on(open_to_app: Product) -> None:
    assert (await send(open_to_app, None, "GET", "/graphiql"))[0] == 404
    settings = open_to_app.settings.model_copy(update={"graphiql": True})
    async with running_product(settings, worker=False, flush=False) as switched_on:
        status, response, _ = await send(switched_on, None, "GET", "/graphiql")
        assert (await send(switched_on, None, "GET", "/"))[1].headers["Location"] == "/graphiql"
    assert status == 200
    scripts = [
        part for part in response.headers["Content-Security-Policy"].split("; ") if part.startswith("script-src")
    ]
    assert scripts == ["script-src 'self'"]


async def test_a_browser_that_takes_only_events_keeps_its_session(product: Product) -> None:
    person = await product.sign_up()
    own = {"origin": product.url, "accept": "text/event-stream", **CSRF}
    body = {"query": SIGN_IN, "variables": {"input": {"email": person.email, "password": PASSWORD}}}

    async def asked(body: dict[str, Any], **headers: str) -> tuple[dict[str, Any], str, str]:
        """The one result, the cookie of the response, and how long it is good for."""
        status, response, text = await send(product, body, **own, **headers)
        assert (status, response.content_type) == (200, "text/event-stream")
        result, end = text.decode().removeprefix(":\n\n").strip().split("\n\n")
        assert end == "event: complete\ndata:"
        kept = response.cookies[COOKIE]
        return json.loads(result.removeprefix("event: next\ndata: "))["data"], kept.value, kept["max-age"]

    signed_in, first, _ = await asked(body)
    assert signed_in["signIn"]["session"]["refreshToken"] is None
    refreshed, second, _ = await asked({"query": REFRESH}, cookie=f"{COOKIE}={first}")
    assert refreshed["refreshSession"]["session"]["accessToken"]
    assert second not in ("", first)
    _, dropped, lasts = await asked({"query": "mutation { signOut { signedOut } }"}, cookie=f"{COOKIE}={second}")
    assert (dropped.strip('"'), lasts) == ("", "0")
