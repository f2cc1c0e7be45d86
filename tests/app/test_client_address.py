"""The address that a session shows and rates count by, where a proxy says whose it is."""

from __future__ import annotations

import pytest

from app.client_address import normal_address
from core.settings import Settings
from product import PASSWORD, Person, running_product

SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) {
  ... on SignInPayload { session { accessToken } } ... on UserError { code } } }"""
ADDRESSES = "{ viewer { sessions { nodes { address current } } } }"


async def address_shown(person: Person, forwarded: str) -> str:
    """Of a session that the person begins through a proxy."""
    payload = {"query": SIGN_IN, "variables": {"input": {"email": person.email, "password": PASSWORD}}}
    url = f"{person.product.url}/graphql"
    async with person.product.http.post(url, json=payload, headers={"X-Forwarded-For": forwarded}) as response:
        token = (await response.json(content_type=None))["data"]["signIn"]["session"]["accessToken"]
    sessions = (await Person(person.product, token, person.email, "").query(ADDRESSES))["viewer"]["sessions"]["nodes"]
    (mine,) = [session["address"] for session in sessions if session["current"]]
    return mine  # type: ignore[no-any-return]


async def test_a_proxy_that_is_trusted_says_whose_the_address_is(settings: Settings) -> None:
    trusting = settings.model_copy(update={"forwarded_allow_ips": "127.0.0.0/8, 10.0.0.0/8"})
    async with running_product(trusting, worker=False) as product:
        person = await product.sign_up()
        assert await address_shown(person, "203.0.113.7") == "203.0.113.7"
        # What the client itself has put in front is nobody's word.
        assert await address_shown(person, "198.51.100.1, 203.0.113.8, 10.1.2.3") == "203.0.113.8"
        assert await address_shown(person, "evil<script>") == ""


async def test_who_is_not_trusted_is_not_believed(settings: Settings) -> None:
    wary = settings.model_copy(update={"forwarded_allow_ips": "172.16.0.0/12"})
    async with running_product(wary, worker=False) as product:
        assert await address_shown(await product.sign_up(), "203.0.113.7") == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%<script>", "fe80::1"),
        ("203.0.113.7.", ""),
        ("evil<script>", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_is_written_in_one_way_and_what_is_none_is_dropped(text: str | None, address: str) -> None:
    assert normal_address(text) == address
