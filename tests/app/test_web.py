"""GraphiQL: how it is served, and that what was built asks no other host for anything."""

from __future__ import annotations

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from graphql import build_schema, parse, validate
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.headers import BrowserHeaders
from app.web import DIST, NOT_BUILT, content_security_policy, front_route, graphiql_routes
from core.settings import Settings
from schema.root import print_schema

ASSET_REFERENCE = re.compile(r"""["'`(](?:\./|/graphiql/assets/|assets/)([\w.-]+\.(?:js|css|svg|ttf|woff2))""")
HASHED_NAME = re.compile(r"[\w.]+(?:-\w+)*-[\w-]{8}\.\w+(\.gz)?")
# What makes a browser load something: not links in texts, comments, licences and XML namespaces.
LOADS_FROM_ANOTHER_HOST = re.compile(
    r"""(?:import|importScripts|fetch|Worker|WebSocket|EventSource|URL|open)\s*\(\s*["'`](?:https?:|wss?:)?//"""
    r"""|\bfrom\s*["'](?:https?:)?//"""
    r"""|\.(?:src|href)\s*=\s*["'`](?:https?:)?//"""
    r"""|url\(\s*["']?(?:https?:)?//"""
    r"""|@import\s*["'](?:https?:)?//"""
)

SOURCES = DIST.parents[1] / "graphiql" / "src"
OPERATION_IN_SOURCE = re.compile(r"= `((?:#.*\n|\s)*(?:query|mutation|subscription) (?:[^`\\]|\\.)*)`;")


def client(dist: Path, **settings: object) -> TestClient:
    given = Settings.model_validate(settings)
    return TestClient(BrowserHeaders(Starlette(routes=graphiql_routes(given, dist)), given))


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A small build: the page, one script, and its packed form."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text('<!doctype html><script type="module" src="/graphiql/assets/a-1.js"></script>')
    (tmp_path / "assets" / "a-1.js").write_text("console.log(1)")
    (tmp_path / "assets" / "a-1.js.gz").write_bytes(gzip.compress(b"console.log(1)"))
    (tmp_path / "assets" / "b-2.css").write_text("a{}")
    (tmp_path / "assets" / "notes.txt").write_text("not part of the page")
    (tmp_path / "secret.js").write_text("outside of assets")
    return tmp_path


@pytest.fixture
def built() -> Path:
    if not (DIST / "index.html").is_file():
        pytest.fail("web/dist is missing: run `make web` before the tests")
    return DIST


def front(**settings: object) -> TestClient:
    given = Settings.model_validate(settings)
    return TestClient(BrowserHeaders(Starlette(routes=[front_route(given)]), given), follow_redirects=False)


def test_the_address_itself_leads_to_graphiql() -> None:
    response = front().get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/graphiql")


@pytest.mark.parametrize("settings", [{"graphiql": False}, {"environment": "production"}])
def test_without_graphiql_the_address_itself_says_where_the_api_is(settings: dict[str, object]) -> None:
    response = front(**settings).get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert "/graphql" in response.text


def test_page_is_served_with_headers_that_keep_it_to_this_host(dist: Path) -> None:
    response = client(dist).get("/graphiql")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-cache"
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self' ws://testserver wss://testserver"
    assert policy["frame-ancestors"] == "'none'"


@pytest.mark.parametrize("host", ["", "evil.example; script-src *", "a b", "host:123456", "x'y", "[::1"])
def test_a_strange_host_header_does_not_get_into_the_policy(host: str) -> None:
    assert "connect-src 'self';" in content_security_policy(host)


@pytest.mark.parametrize("host", ["localhost:8000", "colloquy.example", "127.0.0.1:80", "[::1]:8000"])
def test_a_plain_host_may_be_connected_to_by_websocket(host: str) -> None:
    assert f"connect-src 'self' ws://{host} wss://{host};" in content_security_policy(host)


def test_page_is_revalidated_and_a_new_build_is_seen(dist: Path) -> None:
    web = client(dist)
    etag = web.get("/graphiql").headers["etag"]
    unchanged = web.get("/graphiql", headers={"if-none-match": f'"other", W/{etag}'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    (dist / "index.html").write_text("<!doctype html>a new build")
    changed = web.get("/graphiql", headers={"if-none-match": etag})
    assert changed.status_code == 200
    assert "a new build" in changed.text


def test_asset_is_cached_for_ever_and_has_its_type(dist: Path) -> None:
    web = client(dist)
    response = web.get("/graphiql/assets/a-1.js", headers={"accept-encoding": "identity"})
    assert response.text == "console.log(1)"
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert web.get("/graphiql/assets/b-2.css").headers["content-type"] == "text/css; charset=utf-8"
    etag = response.headers["etag"]
    again = web.get("/graphiql/assets/a-1.js", headers={"accept-encoding": "identity", "if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")


def test_asset_goes_out_packed_only_to_those_who_accept_it(dist: Path) -> None:
    web = client(dist)
    packed = web.get("/graphiql/assets/a-1.js", headers={"accept-encoding": "br, gzip;q=0.8"})
    plain = web.get("/graphiql/assets/a-1.js", headers={"accept-encoding": "br, gzip;q=0"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text == "console.log(1)"
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "name",
    [
        "missing-1.js",
        "notes.txt",
        "a-1.js.gz",
        "..%2fsecret.js",
        "%2e%2e/secret.js",
        "..%5csecret.js",
        ".hidden.js",
        "",
    ],
)
def test_nothing_but_assets_of_the_page_is_served(dist: Path, name: str) -> None:
    response = client(dist).get(f"/graphiql/assets/{name}")
    assert response.status_code == 404
    assert "outside" not in response.text


def test_missing_build_is_a_503_that_says_what_to_run(tmp_path: Path) -> None:
    web = client(tmp_path / "nothing")
    response = web.get("/graphiql")
    assert (response.status_code, response.text) == (503, NOT_BUILT)
    assert "make web" in response.text
    assert response.headers["cache-control"] == "no-store"
    assert str(tmp_path) not in response.text
    assert web.get("/graphiql/assets/a-1.js").status_code == 404


def test_graphiql_is_off_in_production_unless_switched_on(dist: Path) -> None:
    assert client(dist, environment="production").get("/graphiql").status_code == 404
    assert client(dist, environment="production", graphiql=True).get("/graphiql").status_code == 200
    assert client(dist, graphiql=False).get("/graphiql").status_code == 404


class References(HTMLParser):
    """Every src and href of a page, and whether it has script or style of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.urls += [value for name in ("src", "href") if (value := given.get(name))]
        if tag == "style" or (tag == "script" and "src" not in given) or any(name.startswith("on") for name in given):
            self.inline.append(tag)


def test_everything_the_built_page_refers_to_is_served_by_us(built: Path) -> None:
    web = client(built)
    references = References()
    references.feed(web.get("/graphiql").text)
    assert references.inline == []
    assert references.urls
    assert all(url.startswith("/graphiql/assets/") for url in references.urls), references.urls
    waiting = [url.removeprefix("/graphiql/assets/") for url in references.urls]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        response = web.get(f"/graphiql/assets/{name}")
        assert response.status_code == 200, name
        if name.endswith((".js", ".css")):
            waiting += ASSET_REFERENCE.findall(response.text)
    # The page, the editor that it loads later, and the editor's workers were all reached.
    for part in ("index", "monaco-editor", "editor.worker", "graphql.worker", "json.worker", "codicon"):
        assert any(name.startswith(f"{part}-") for name in seen), part


def test_built_files_load_nothing_from_another_host(built: Path) -> None:
    files = [path for path in built.rglob("*") if path.suffix in (".js", ".css", ".html")]
    assert len(files) > 10
    for path in files:
        found = LOADS_FROM_ANOTHER_HOST.search(path.read_text())
        assert found is None, f"{path.name}: {found and found[0]}"


@pytest.mark.parametrize(
    "planted",
    [
        'import("https://cdn.example/a.js")',
        'import{a}from"https://cdn.example/a.js"',
        "new Worker(`//cdn.example/w.js`)",
        'fetch("https://api.example")',
        'new WebSocket("wss://api.example")',
        'img.src="https://pixel.example/p.gif"',
        "a{background:url(https://cdn.example/a.png)}",
        '@import "https://fonts.example/css"',
    ],
)
def test_the_search_for_other_hosts_finds_what_is_planted(planted: str) -> None:
    assert LOADS_FROM_ANOTHER_HOST.search(f"var x=1;{planted};") is not None


def test_every_built_asset_has_a_hash_in_its_name_because_it_is_cached_for_ever(built: Path) -> None:
    names = [path.name for path in (built / "assets").iterdir()]
    assert names
    assert [name for name in names if HASHED_NAME.fullmatch(name) is None] == []


def test_the_operations_of_the_page_fit_the_schema() -> None:
    schema = build_schema(print_schema())
    operations = [
        operation.replace("\\`", "`")
        for path in sorted(SOURCES.glob("*.ts"))
        for operation in OPERATION_IN_SOURCE.findall(path.read_text())
    ]
    assert len(operations) == 7, "four examples, sign-in, upload and its progress"
    for operation in operations:
        assert validate(schema, parse(operation)) == [], operation
