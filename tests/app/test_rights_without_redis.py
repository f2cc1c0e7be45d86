"""What has ended stays so whatever becomes of Redis, in every process, and ending it waits for nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.embedded.redis import EmbeddedRedis
from core.ids import NodeKind, to_global
from core.settings import Settings
from datastores.redis_client import make_redis
from owner import set_role, until
from product import PASSWORD, PROGRESS, Person, Product, running_product
from wire import relayed

WITHIN = 2.0
VIEWER = "{ viewer { user { email } } }"
SIGN_OUT = "mutation { signOut { signedOut } }"
SUSPEND = """mutation($input: SuspendTenantInput!) { suspendTenant(input: $input) { __typename
  ... on SuspendTenantPayload { tenant { suspendedAt } } } }"""
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) {
  ... on SignInPayload { session { accessToken } } } }"""
CHANGE = """mutation($input: ChangePasswordInput!) { changePassword(input: $input) { __typename } }"""
RESET = """mutation($input: RequestPasswordResetInput!) { requestPasswordReset(input: $input) { __typename } }"""


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    """A server of the test's own, with its append-only file."""
    server = EmbeddedRedis(tmp_path / "redis")
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.stop)


@asynccontextmanager
async def two_products(settings: Settings, **of_the_first: object) -> AsyncGenerator[tuple[Product, Product]]:
    """Two API processes' worth of product on the same servers; one has settings of its own."""
    async with (
        running_product(settings.model_copy(update=of_the_first), worker=False) as here,
        running_product(settings, worker=False, flush=False) as there,
    ):
        yield here, there


async def refusal(product: Product, person: Person) -> str | None:
    """Why somebody's access token is refused; None while it is good."""
    body = await product.post(VIEWER, token=person.token)
    return body["errors"][0]["message"] if "errors" in body else None


async def ended(product: Product, person: Person) -> float:
    """How many seconds it takes until somebody's access token is refused."""
    began = time.monotonic()

    async def refused() -> bool:
        return await refusal(product, person) is not None

    async with asyncio.timeout(5):
        await until(refused)
    return time.monotonic() - began


async def administrator(product: Product) -> Person:
    person = await product.sign_up()
    await set_role(person, "ADMIN")
    return person


async def suspend(admin: Person, person: Person) -> None:
    fields = {"tenantId": to_global(NodeKind.TENANT, person.tenant_id)}
    result = (await admin.query(SUSPEND, input=fields))["suspendTenant"]
    assert result["tenant"]["suspendedAt"]


@asynccontextmanager
async def followed(product: Product, person: Person) -> AsyncGenerator[asyncio.Task[tuple[str, float]]]:
    """A socket on which somebody follows a document that stays as it is; the task ends with it, with why and when."""
    document = (await product.upload(person.token, person.email.encode(), "notes.txt"))["document"]["id"]
    async with product.socket(person.token) as socket:
        operation = {"query": PROGRESS, "variables": {"id": document}}
        await socket.send_json({"id": "1", "type": "subscribe", "payload": operation})
        assert (await socket.receive_json())["type"] == "next"

        async def the_end() -> tuple[str, float]:
            frame = await socket.receive_json()
            assert frame["type"] == "error", frame
            return frame["payload"][0]["message"], time.monotonic()

        ending = asyncio.create_task(the_end())
        yield ending
        ending.cancel()


async def change_password(person: Person) -> None:
    fields = {"currentPassword": PASSWORD, "newPassword": "walnut ferry 1911"}
    result = (await person.query(CHANGE, input=fields))["changePassword"]
    assert result["__typename"] == "ChangePasswordPayload"


async def in_time(work: Awaitable[Any]) -> float:
    """Do it; how many seconds it took."""
    began = time.monotonic()
    await work
    return time.monotonic() - began


async def test_a_socket_ends_elsewhere_though_its_copy_could_not_be_dropped_and_stays_ended(settings: Settings) -> None:
    assert settings.redis_url is not None
    async with (
        relayed(settings.redis_url) as (url, relay),
        two_products(settings, redis_cache_url=url) as (here, there),
    ):
        person = await here.sign_up()
        async with followed(there, person) as ending:
            relay.hang()
            assert await in_time(here.post(SIGN_OUT, token=person.token)) < WITHIN
            signed_out = time.monotonic()
            # It was told, and there is a copy that says otherwise.
            words, at = await ending
            assert "session has ended" in words
            assert at - signed_out < WITHIN
            assert await refusal(there, person) is None
        assert await refusal(here, person) is not None
        await relay.answer_again()
        assert await refusal(here, person) is not None
        assert await ended(there, person) < WITHIN


async def test_what_ended_while_redis_was_gone_stays_so_when_it_is_back_with_its_old_copies(
    settings: Settings, redis: EmbeddedRedis
) -> None:
    async with two_products(settings.model_copy(update={"redis_url": redis.url})) as (here, there):
        admin, member, other = await administrator(here), await here.sign_up(), await here.sign_up()
        assert [await refusal(there, person) for person in (member, other)] == [None, None]
        await asyncio.to_thread(redis.stop)
        assert await in_time(here.post(SIGN_OUT, token=member.token)) < WITHIN
        assert await in_time(suspend(admin, other)) < WITHIN
        for product in (here, there):
            assert all([await refusal(product, person) for person in (member, other)])
        await asyncio.to_thread(redis.start)
        assert all([await refusal(here, person) for person in (member, other)])
        assert max([await ended(there, person) for person in (member, other)]) < WITHIN
        assert await refusal(there, other) == "This organisation is suspended."


@asynccontextmanager
async def full(server: EmbeddedRedis) -> AsyncGenerator[Redis]:
    """A server that takes nothing more."""
    client = make_redis(Settings(redis_url=server.url))
    await client.config_set("maxmemory", 1)
    yield client
    await client.config_set("maxmemory", 0)
    await client.aclose()


async def test_with_redis_full_an_end_counts_at_once_in_every_process(settings: Settings, redis: EmbeddedRedis) -> None:
    async with two_products(settings.model_copy(update={"redis_url": redis.url})) as (here, there):
        admin, member, other = await administrator(here), await here.sign_up(), await here.sign_up()
        async with followed(there, member) as first, followed(there, other) as second, full(redis) as client:
            assert await client.exists(*[key async for key in client.scan_iter("*:session:*")]) >= 2
            await here.post(SIGN_OUT, token=member.token)
            await suspend(admin, other)
            suspended = time.monotonic()
            for product in (here, there):
                assert all([await refusal(product, person) for person in (member, other)])
            endings = await asyncio.gather(first, second)
            assert ["session has ended" in endings[0][0], "suspended" in endings[1][0]] == [True, True]
            assert max(at for _, at in endings) - suspended < WITHIN


@pytest.mark.long
async def test_nothing_that_changes_an_account_waits_long_for_a_redis_that_hangs(settings: Settings) -> None:
    assert settings.redis_url is not None
    async with (
        relayed(settings.redis_url) as (url, relay),
        running_product(settings.model_copy(update={"redis_url": url}), worker=False) as product,
    ):
        admin = await administrator(product)
        leaving, changing, member = [await product.sign_up() for _ in range(3)]
        signed_in = await product.post(SIGN_IN, {"input": {"email": changing.email, "password": PASSWORD}})
        elsewhere = replace(changing, token=signed_in["data"]["signIn"]["session"]["accessToken"])
        for person in (admin, leaving, changing, elsewhere, member):
            assert await refusal(product, person) is None
        async with followed(product, leaving) as ending:
            relay.hang()
            took = {"signOut": await in_time(product.post(SIGN_OUT, token=leaving.token))}
            signed_out = time.monotonic()
            # In its own process nobody needs Redis to hear of it.
            words, at = await ending
            assert "session has ended" in words
            assert at - signed_out < WITHIN
            took |= {
                "changePassword": await in_time(change_password(changing)),
                "suspendTenant": await in_time(suspend(admin, member)),
                "requestPasswordReset": await in_time(product.post(RESET, {"input": {"email": changing.email}})),
                "uploadDocument": await in_time(changing.upload(b"A text that is new.", "new.txt")),
            }
        assert max(took.values()) < 2.5, took
        assert await refusal(product, changing) is None
        for _ in range(2):
            assert all([await refusal(product, person) for person in (leaving, elsewhere, member)])
            await relay.answer_again()
