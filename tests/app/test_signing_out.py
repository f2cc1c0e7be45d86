"""Signing out in a browser: its cookie says which session ends, whatever the access token is worth."""

from __future__ import annotations

import json

import aiohttp
import pytest

from app.cookies import COOKIE
from core.ids import new_id
from owner import as_owner, short_lived
from product import PASSWORD, Person, Product

EVIL = "https://evil.example.test"
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) {
  ... on SignInPayload { session { refreshToken } } } }"""
REFRESH = """mutation { refreshSession {
  ... on RefreshSessionPayload { session { accessToken } } ... on UserError { code } } }"""
SIGN_OUT = "mutation { signOut { signedOut } }"
CREATE_KEY = """mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) {
  ... on CreateApiKeyPayload { secret } } }"""
CSRF = {"x-colloquy-csrf": "1"}


async def send(product: Product, body: dict[str, object], **headers: str) -> tuple[int, aiohttp.ClientResponse, str]:
    """One request with a browser's headers, of which this client keeps no cookie."""
    async with product.http.post(f"{product.url}/graphql", json=body, headers=headers) as response:
        product.http.cookie_jar.clear()
        return response.status, response, await response.text()


async def sign_in_by_cookie(product: Product, email: str) -> str:
    """The cookie's value."""
    body: dict[str, object] = {"query": SIGN_IN, "variables": {"input": {"email": email, "password": PASSWORD}}}
    _, response, _ = await send(product, body, Origin=product.url, **CSRF)
    return response.cookies[COOKIE].value


async def api_key(person: Person) -> str:
    """A new key of the person's."""
    result = await person.query(CREATE_KEY, input={"name": "Server", "role": "USER"})
    return result["createApiKey"]["secret"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("access", ["none", "expired", "good", "an API key"])
async def test_signing_out_by_the_cookie_ends_its_session(product: Product, access: str) -> None:
    person = await product.sign_up(f"{access.replace(' ', '-')}-out@example.test")
    value = await sign_in_by_cookie(product, person.email)
    cookie = {"Cookie": f"{COOKIE}={value}"}
    tokens = {"expired": short_lived(person, -1), "good": person.token}
    if access == "an API key":
        tokens[access] = await api_key(person)
    if access in tokens:
        cookie["Authorization"] = f"Bearer {tokens[access]}"
    # As for a refresh, the cookie counts only from a page that may.
    for headers, status in (({"Origin": EVIL} | CSRF, 403), (CSRF, 403)):
        got, response, _ = await send(product, {"query": SIGN_OUT}, **cookie, **headers)
        assert (got, "Set-Cookie" in response.headers) == (status, False)
    _, response, text = await send(product, {"query": SIGN_OUT}, Origin=product.url, **cookie, **CSRF)
    assert json.loads(text) == {"data": {"signOut": {"signedOut": True}}}
    assert f'{COOKIE}=""' in response.headers["Set-Cookie"]
    _, _, text = await send(product, {"query": REFRESH}, Origin=product.url, Cookie=f"{COOKIE}={value}", **CSRF)
    assert json.loads(text)["data"]["refreshSession"] == {"code": "INVALID_CREDENTIALS"}
    rows = await as_owner(
        product.settings,
        "SELECT revocation FROM sessions WHERE tenant_id = $1 ORDER BY created_at",
        person.tenant_id,
    )
    ((outcome, *targets),) = await as_owner(
        product.settings,
        "SELECT outcome, targets FROM audit_log WHERE tenant_id = $1 AND action = 'signOut'",
        person.tenant_id,
    )
    assert (outcome, len(*targets)) == ("SUCCEEDED", 2 if access == "good" else 1)
    # The first is the access token's, which is one of another session here.
    assert rows == [("SIGNED_OUT" if access == "good" else None,), ("SIGNED_OUT",)]


@pytest.mark.parametrize("value", ["", "x", "clq_rt_" + "A" * 150])
async def test_signing_out_by_a_cookie_that_was_never_given_out_ends_nothing(product: Product, value: str) -> None:
    person = await product.sign_up(f"{new_id().hex}@example.test")
    headers = {"Cookie": f"{COOKIE}={value}", "Origin": product.url} | CSRF
    _, response, text = await send(product, {"query": SIGN_OUT}, **headers)
    assert json.loads(text) == {"data": {"signOut": {"signedOut": True}}}
    assert f'{COOKIE}=""' in response.headers["Set-Cookie"]
    assert (await person.query("{ viewer { user { email } } }"))["viewer"]["user"]["email"] == person.email
