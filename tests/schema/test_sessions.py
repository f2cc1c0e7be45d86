"""Sessions: rotating refresh tokens, ends that stay, and what losing Redis does to them: nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from statements import counted

from owner import as_owner, short_lived
from product import PASSWORD, Person, Product

VIEWER = "{ viewer { user { email } } }"
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) {
  ... on SignInPayload { session { accessToken refreshToken user { id } } } ... on UserError { code message } } }"""
REFRESH = """mutation($input: RefreshSessionInput) { refreshSession(input: $input) { __typename
  ... on RefreshSessionPayload { session { accessToken refreshToken user { id } } }
  ... on UserError { code message } } }"""
SIGN_OUT = "mutation { signOut { signedOut } }"
SIGN_OUT_EVERYWHERE = "mutation { signOutEverywhere { signedOut } }"


async def signed_in(person: Person) -> dict[str, Any]:
    """Another session of the same person."""
    body = await person.product.post(SIGN_IN, {"input": {"email": person.email, "password": PASSWORD}})
    return body["data"]["signIn"]["session"]  # type: ignore[no-any-return]


async def refresh(product: Product, token: str | None) -> dict[str, Any]:
    """The result of `refreshSession`."""
    body = await product.post(REFRESH, {"input": {"refreshToken": token} if token is not None else None})
    return body["data"]["refreshSession"]  # type: ignore[no-any-return]


async def code(product: Product, token: str) -> str | None:
    """Why this access token is refused; None when it is good."""
    body = await product.post(VIEWER, token=token)
    return body["errors"][0]["extensions"]["code"] if "errors" in body else None


async def test_a_refresh_token_is_good_once_for_the_next_pair(product: Product) -> None:
    person = await product.sign_up()
    first = await signed_in(person)
    second = (await refresh(product, first["refreshToken"]))["session"]
    third = (await refresh(product, second["refreshToken"]))["session"]
    assert len({first["refreshToken"], second["refreshToken"], third["refreshToken"]}) == 3
    assert third["user"]["id"] == person.user_id
    assert [await code(product, one["accessToken"]) for one in (first, second, third)] == [None, None, None]


async def test_a_refresh_token_that_comes_twice_ends_its_session_and_no_other(product: Product) -> None:
    person = await product.sign_up()
    first, other = await signed_in(person), await signed_in(person)
    second = (await refresh(product, first["refreshToken"]))["session"]
    assert (await refresh(product, first["refreshToken"]))["code"] == "INVALID_CREDENTIALS"
    assert await code(product, second["accessToken"]) == "UNAUTHENTICATED"
    assert (await refresh(product, second["refreshToken"]))["code"] == "INVALID_CREDENTIALS"
    assert await code(product, other["accessToken"]) is None
    rows = await as_owner(
        product.settings,
        "SELECT revocation FROM sessions WHERE tenant_id = $1 AND revoked_at IS NOT NULL",
        person.tenant_id,
    )
    assert rows == [("TOKEN_REUSED",)]


async def test_of_two_who_use_a_refresh_token_at_once_neither_stays_signed_in(product: Product) -> None:
    first = await signed_in(await product.sign_up())
    results = await asyncio.gather(*(refresh(product, first["refreshToken"]) for _ in range(4)))
    assert [result["__typename"] for result in results].count("RefreshSessionPayload") <= 1
    for result in results:
        if result["__typename"] == "RefreshSessionPayload":
            assert await code(product, result["session"]["accessToken"]) == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    "token", ["", "x", "clq_rt_", "clq_rt_" + "A" * 150, "clq_rt_\u00e9", "clq_pw_abc", "x" * 100_000]
)
async def test_what_was_never_given_out_is_refused(product: Product, token: str) -> None:
    assert (await refresh(product, token))["code"] == "INVALID_CREDENTIALS"


async def test_without_a_token_and_without_a_cookie_there_is_nothing_to_refresh(product: Product) -> None:
    assert (await refresh(product, None))["code"] == "INVALID_CREDENTIALS"


async def test_a_changed_token_is_refused_and_the_genuine_one_still_works(product: Product) -> None:
    token = (await signed_in(await product.sign_up()))["refreshToken"]
    for place in (10, 40, 80, len(token) - 2):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert (await refresh(product, changed))["code"] == "INVALID_CREDENTIALS"
    assert (await refresh(product, token))["__typename"] == "RefreshSessionPayload"


async def test_only_hashes_of_refresh_tokens_are_stored(product: Product) -> None:
    token = (await signed_in(await product.sign_up()))["refreshToken"]
    rows = await as_owner(product.settings, "SELECT token_hash FROM refresh_tokens")
    assert all(len(stored) == 32 for (stored,) in rows)
    assert not any(token.encode() in stored for (stored,) in rows)


async def test_signing_out_ends_this_session_alone_and_everywhere_ends_all(product: Product) -> None:
    person = await product.sign_up()
    one, two, three = [await signed_in(person) for _ in range(3)]
    assert (await product.post(SIGN_OUT, token=one["accessToken"]))["data"] == {"signOut": {"signedOut": True}}
    tokens = (one["accessToken"], two["accessToken"], three["accessToken"])
    assert [await code(product, token) for token in tokens] == ["UNAUTHENTICATED", None, None]
    assert (await refresh(product, one["refreshToken"]))["code"] == "INVALID_CREDENTIALS"
    await product.post(SIGN_OUT_EVERYWHERE, token=two["accessToken"])
    assert [await code(product, token) for token in tokens] == ["UNAUTHENTICATED"] * 3
    assert await code(product, person.token) == "UNAUTHENTICATED"


async def test_signing_out_without_being_signed_in_is_no_error(product: Product) -> None:
    assert (await product.post(SIGN_OUT))["data"] == {"signOut": {"signedOut": True}}


async def test_signing_out_with_a_token_that_is_no_good_says_so_and_what_to_do(product: Product) -> None:
    person = await product.sign_up()
    session = await signed_in(person)
    expired = short_lived(replace(person, token=session["accessToken"]), -1)
    for token, words in ((expired, "has expired. Refresh the session"), ("x", "is not valid")):
        body = await product.post(SIGN_OUT, token=token)
        assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert words in body["errors"][0]["message"]
    assert (await refresh(product, session["refreshToken"]))["__typename"] == "RefreshSessionPayload"


async def test_when_redis_forgets_everything_nobody_is_signed_out_and_who_was_stays_out(own_product: Product) -> None:
    person = await own_product.sign_up()
    gone, here = await signed_in(person), await signed_in(person)
    for session in (gone, here):
        assert await code(own_product, session["accessToken"]) is None
    await own_product.post(SIGN_OUT, token=gone["accessToken"])
    for _ in range(2):
        await own_product.services.redis.flushdb()
        assert await code(own_product, here["accessToken"]) is None
        assert await code(own_product, gone["accessToken"]) == "UNAUTHENTICATED"
    assert await own_product.services.redis.keys("*:session:*") != []


async def test_a_remembered_session_costs_no_statement(own_product: Product) -> None:
    person = await own_product.sign_up()
    await person.query(VIEWER)
    async with counted(own_product) as statements:
        await person.query(VIEWER)
    assert statements == []
