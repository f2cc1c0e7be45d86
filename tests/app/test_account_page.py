"""The page that links in mails lead to: how it is served, what it may load, and where links lead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import build_schema, parse, validate
from starlette.applications import Starlette
from starlette.testclient import TestClient
from test_web import LOADS_FROM_ANOTHER_HOST, References

from app.mail_links import require_mail_links
from app.web import ACCOUNT_DIST, ACCOUNT_NOT_BUILT, account_routes
from core.errors import ConfigurationError
from core.settings import Settings
from schema.root import print_schema

OPERATION = re.compile(r"= `(mutation [^`]*)`;")


def client(dist: Path = ACCOUNT_DIST) -> TestClient:
    return TestClient(Starlette(routes=account_routes(dist)))


def test_the_page_has_a_policy_without_anything_inline_or_from_elsewhere() -> None:
    response = client().get("/account")
    assert response.status_code == 200
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}


def test_everything_that_it_refers_to_is_served_and_loads_nothing_from_elsewhere() -> None:
    web, references = client(), References()
    references.feed(web.get("/account").text)
    assert references.inline == []
    assert len(references.urls) == 3
    for url in references.urls:
        assert url.startswith("/account/assets/")
        response = web.get(url)
        assert response.status_code == 200
        assert LOADS_FROM_ANOTHER_HOST.search(response.text) is None


def test_a_missing_build_is_a_503_that_says_what_to_run(tmp_path: Path) -> None:
    response = client(tmp_path / "nothing").get("/account")
    assert (response.status_code, response.text) == (503, ACCOUNT_NOT_BUILT)
    assert "make web" in response.text


def test_its_operations_fit_the_schema() -> None:
    schema = build_schema(print_schema())
    source = ACCOUNT_DIST.parents[1] / "account" / "src" / "operations.ts"
    operations = OPERATION.findall(source.read_text())
    assert len(operations) == 5
    for operation in operations:
        assert validate(schema, parse(operation)) == [], operation


@pytest.mark.parametrize(
    ("settings", "page"),
    [
        ({}, None),
        ({"public_url": "https://colloquy.example/"}, "https://colloquy.example/account"),
        ({"public_url": "https://a.example", "account_url": "https://b.example/x"}, "https://b.example/x"),
        ({"smtp_url": "smtp://127.0.0.1:25?tls=none"}, "http://127.0.0.1:8000/account"),
        ({"environment": "production"}, "http://127.0.0.1:8000/account"),
    ],
)
def test_only_a_product_on_this_machine_links_to_where_a_request_says(
    settings: dict[str, str], page: str | None
) -> None:
    assert Settings.model_validate(settings).account_page == page


def test_production_does_not_start_without_knowing_where_links_lead() -> None:
    with pytest.raises(ConfigurationError, match=r"^PUBLIC_URL: not set\. [^\n]*$"):
        require_mail_links(Settings(environment="production"))
    for known in ({"public_url": "https://a.example"}, {"account_url": "https://b.example/account"}):
        require_mail_links(Settings.model_validate({"environment": "production", **known}))
    require_mail_links(Settings())


@pytest.mark.parametrize(
    "url", ["b.example/x", "javascript:alert(1)", "https://", "https://b.example/#x", "https://b/\n"]
)
def test_an_account_url_that_is_no_page_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address of a page"):
        Settings(account_url=url)
