"""How often an organisation's programs may come: all its API keys together, however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest

from core.settings import Settings
from owner import until
from product import PASSWORD, Person, Product, running_product

SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) {
  ... on SignInPayload { session { accessToken } } } }"""
SIGN_OUT = "mutation { signOut { signedOut } }"
VIEWER = "{ viewer { user { email } } }"
CREATE_KEY = """mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) {
  ... on CreateApiKeyPayload { secret } } }"""


def limited(settings: Settings, **limits: int) -> AbstractAsyncContextManager[Product]:
    """A product with rate limits of the test's own."""
    own = {f"rate_limit_{name}": value for name, value in limits.items()}
    return running_product(settings.model_copy(update=own), worker=False)


async def status(person: Person, query: str = VIEWER) -> int:
    """Of one request."""
    headers = {"authorization": f"Bearer {person.token}"}
    url = f"{person.product.url}/graphql"
    async with person.product.http.post(url, json={"query": query}, headers=headers) as response:
        return response.status


@asynccontextmanager
async def other_process(product: Product) -> AsyncIterator[Product]:
    """The same data, served once more: what one remembers the other does not."""
    async with running_product(product.settings, worker=False, flush=False) as other:
        yield other


async def api_keys(person: Person, count: int) -> list[Person]:
    """So many programs of one person."""
    made = [await person.query(CREATE_KEY, input={"name": "x", "role": "BUSINESS"}) for _ in range(count)]
    return [replace(person, token=one["createApiKey"]["secret"]) for one in made]


async def test_who_makes_more_api_keys_may_not_come_more_often(settings: Settings) -> None:
    tight = {"requests_per_minute": 1, "burst": 4, "keys_per_minute": 1, "keys_burst": 3}
    async with limited(settings, **tight) as product:
        person, other = await product.sign_up(), await product.sign_up()
        keys = await api_keys(person, 3)
        answers = await asyncio.gather(*(status(key) for key in keys for _ in range(3)))
        assert sorted(answers) == [200] * 3 + [429] * 6
        # The organisation's people are counted by themselves, and so are another organisation's keys.
        (theirs,) = await api_keys(other, 1)
        for one in (person, theirs):
            assert await status(one) == 200


async def test_who_makes_more_api_keys_may_not_upload_more_often(settings: Settings) -> None:
    async with limited(settings, uploads_per_minute=1, uploads_burst=2) as product:
        keys = await api_keys(await product.sign_up(), 3)
        results = [await key.upload(f"Text {number}".encode()) for number, key in enumerate(keys)]
        assert [result["__typename"] for result in results] == ["UploadDocumentPayload"] * 2 + ["RateLimited"]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another process"])
async def test_a_session_uses_up_nothing_of_its_owner_s_from_the_moment_of_its_end(
    settings: Settings, elsewhere: bool
) -> None:
    tight = {"requests_per_minute": 1, "burst": 8, "anonymous_per_minute": 1, "anonymous_burst": 5}
    async with limited(settings, **tight) as product:
        person = await product.sign_up()
        session = (await product.post(SIGN_IN, {"input": {"email": person.email, "password": PASSWORD}}))["data"]
        other = replace(person, token=session["signIn"]["session"]["accessToken"])
        assert await status(person) == 200
        if elsewhere:
            async with other_process(product) as process, product.socket(other.token) as socket:
                # Whose watch hears of it.
                await process.post(SIGN_OUT, token=person.token)
                claims = product.services.signer.check_access(person.token)

                async def heard() -> bool:
                    return not product.services.standings.is_seen(claims)

                async with asyncio.timeout(1):  # it would be forgotten by itself after two
                    await until(heard)
                await socket.close()
        else:
            assert await status(person, SIGN_OUT) == 200
        left = 8 - 2
        ended = [await status(person, "{ __typename }") for _ in range(12)]
        assert ended.count(200) <= 3, "the address's, less what signing up and in took of it"
        assert [await status(other, "{ __typename }") for _ in range(left)] == [200] * left
