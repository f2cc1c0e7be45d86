"""A suspended organisation is shut out of everything, and comes back with everything."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from as_owner import contents
from two_tenants import Tenant, World, present

from core.settings import Settings
from datastores import ingestion
from jobs.sweep_documents import sweep_documents
from owner import as_owner, set_role, until, uuid_of
from product import PASSWORD, PROGRESS, Person, Product, running_product

WITHIN = 2.0
SUSPEND = """mutation($input: SuspendTenantInput!) { suspendTenant(input: $input) {
  ... on SuspendTenantPayload { tenant { suspendedAt } } } }"""
RESUME = """mutation($input: ResumeTenantInput!) { resumeTenant(input: $input) {
  ... on ResumeTenantPayload { tenant { suspendedAt } } } }"""
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) { __typename
  ... on SignInPayload { session { accessToken refreshToken } } ... on UserError { code message } } }"""
REFRESH = """mutation($input: RefreshSessionInput) { refreshSession(input: $input) { __typename
  ... on RefreshSessionPayload { session { accessToken } } ... on UserError { code message } } }"""
KEY = """mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) {
  ... on CreateApiKeyPayload { secret } } }"""
VIEWER = "{ viewer { user { email } } }"
ANSWER_STATUS = "SELECT status, failure_code, failure_message FROM answers WHERE id = $1"


@dataclass(frozen=True)
class Platform:
    """A product with an administrator of the platform and two organisations."""

    product: Product
    admin: Person
    tenant: Tenant
    other: Tenant

    async def suspend(self) -> None:
        await self._set(SUSPEND, suspended=True)

    async def resume(self) -> None:
        await self._set(RESUME, suspended=False)

    async def _set(self, mutation: str, *, suspended: bool) -> None:
        (result,) = (await self.admin.query(mutation, input={"tenantId": self.tenant.ids["Tenant"]})).values()
        assert (result["tenant"]["suspendedAt"] is not None) is suspended

    async def result(self, query: str, **fields: Any) -> dict[str, Any]:
        """The result of a mutation that nobody is signed in for."""
        (result,) = (await self.product.post(query, {"input": fields}))["data"].values()
        return result  # type: ignore[no-any-return]

    async def state(self, token: str) -> str | None:
        """Why a token is refused; None when it is good."""
        body = await self.product.post(VIEWER, token=token)
        return body["errors"][0]["message"] if body.get("errors") else None

    async def link(self) -> int:
        """The status of a signed link to one of the tenant's originals."""
        path = self.tenant.content_url.rpartition("/files/")[2]
        async with self.product.http.get(f"{self.product.url}/files/{path}") as response:
            return response.status


async def _platform(world: World, product: Product) -> Platform:
    admin = await product.sign_up("admin@example.test")
    await set_role(admin, "ADMIN")
    return Platform(product, admin, tenant=present(world.first, product), other=present(world.second, product))


@pytest.fixture
async def platform(world: World, own_product: Product) -> Platform:
    """With a worker."""
    return await _platform(world, own_product)


@pytest.fixture
async def slow(world: World, settings: Settings) -> AsyncIterator[Platform]:
    """Without a worker, so that documents stay QUEUED, and with answers that last longer than a suspension takes."""
    slow = settings.model_copy(update={"local_token_interval_ms": 400})
    async with running_product(slow, worker=False) as product:
        yield await _platform(world, product)


async def test_every_way_in_is_shut_while_suspended_and_open_again_afterwards(platform: Platform) -> None:
    business, product = platform.tenant.business, platform.product
    session = (await platform.result(SIGN_IN, email=business.email, password=PASSWORD))["session"]
    used, unused = [
        (await business.query(KEY, input={"name": name, "role": "BUSINESS"}))["createApiKey"]["secret"]
        for name in ("used", "unused")
    ]
    tokens = [business.token, platform.tenant.user.token, session["accessToken"], used]
    assert [await platform.state(token) for token in tokens] == [None] * 4
    assert await platform.link() == 200
    await platform.suspend()
    before = await contents(product.settings)
    assert [await platform.state(token) for token in tokens] == ["This organisation is suspended."] * 4
    assert await platform.state(unused) == "This organisation is suspended."
    signing_in = await platform.result(SIGN_IN, email=business.email, password=PASSWORD)
    assert signing_in == await platform.result(SIGN_IN, email=business.email, password="another password")
    assert signing_in["code"] == "INVALID_CREDENTIALS"
    refreshed = await platform.result(REFRESH, refreshToken=session["refreshToken"])
    assert refreshed["message"] == "This organisation is suspended."
    assert await platform.link() == 403
    upload = await product.upload_raw(business.token, b"A new text.", "new.txt")
    assert upload["errors"][0]["message"] == "This organisation is suspended."
    with pytest.raises(TypeError):
        async with product.socket(business.token):
            pass
    assert await contents(product.settings) == before
    assert await platform.state(platform.other.business.token) is None
    await platform.resume()
    assert [await platform.state(token) for token in tokens] == [None] * 4
    assert await platform.link() == 200
    again = await platform.result(REFRESH, refreshToken=session["refreshToken"])
    assert again["__typename"] == "RefreshSessionPayload"
    signing_in = await platform.result(SIGN_IN, email=business.email, password=PASSWORD)
    assert signing_in["__typename"] == "SignInPayload"


async def test_what_redis_remembers_of_a_session_does_not_outlive_the_suspension(platform: Platform) -> None:
    user = platform.tenant.user
    assert await platform.state(user.token) is None
    remembered = await platform.product.services.redis.keys(f"colloquy:{platform.tenant.id.hex}:session:*")
    assert remembered
    for _ in range(2):
        await platform.suspend()
        assert await platform.state(user.token) is not None
        await platform.resume()
        assert await platform.state(user.token) is None


async def test_a_suspension_ends_every_socket_of_the_tenant_and_no_other(slow: Platform) -> None:
    document = (await slow.tenant.business.upload(b"A text that stays in the queue.", "queued.txt"))["document"]["id"]
    people = (slow.tenant.business, slow.tenant.business, slow.tenant.user, slow.other.business)
    async with AsyncSockets(slow.product, [person.token for person in people]) as sockets:
        for socket in sockets[:3]:
            await _subscribe(socket, document)
            assert (await socket.receive_json())["type"] == "next"
        began = time.monotonic()
        await slow.suspend()
        for socket in sockets[:3]:
            async with asyncio.timeout(10):
                frame = json.loads((await socket.receive()).data)
                assert (frame["type"], frame["payload"][0]["extensions"]["code"]) == ("error", "UNAUTHENTICATED")
                assert frame["payload"][0]["message"] == "This organisation is suspended."
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
                assert socket.close_code == 4403
        assert time.monotonic() - began < WITHIN
        await sockets[3].send_json({"type": "ping"})
        assert await sockets[3].receive_json() == {"type": "pong"}


@pytest.mark.long
async def test_an_answer_that_is_being_written_fails_and_what_waits_is_answered_after_the_resumption(
    slow: Platform,
) -> None:
    business, settings = slow.tenant.business, slow.product.settings
    conversation = slow.tenant.ids["Conversation"]
    sent = [await business.send(conversation, f"When was {slow.tenant.subject} founded?") for _ in range(2)]
    running, waiting = (uuid_of(one["answer"]["id"]) for one in sent)
    events = business.follow(sent[0]["answer"]["id"])
    async for event in events:
        if event["__typename"] == "AnswerDelta":
            break
    await slow.suspend()

    async def failed() -> bool:
        return (await as_owner(settings, ANSWER_STATUS, running))[0][0] == "FAILED"

    began = time.monotonic()
    await until(failed)
    assert time.monotonic() - began < 2 * WITHIN
    ((_, code, message),) = await as_owner(settings, ANSWER_STATUS, running)
    assert (code, "suspended" in message) == ("INTERRUPTED", True)
    # Neither the process that wrote the first nor a sweep begins the second.
    await slow.product.services.supervisor.idle()
    assert await slow.product.services.supervisor.sweep() == 0
    slow.product.services.supervisor.produce(slow.tenant.id, waiting)
    await slow.product.services.supervisor.idle()
    assert await as_owner(settings, ANSWER_STATUS, waiting) == [("PENDING", None, None)]
    await slow.resume()
    assert [event async for event in business.follow(sent[1]["answer"]["id"])][-1]["__typename"] == "AnswerCompleted"
    ended = [event async for event in business.follow(sent[0]["answer"]["id"])]
    assert ended[-1]["failure"]["code"] == "INTERRUPTED"
    said = "".join(event.get("text", "") for event in ended)
    assert said
    assert ended[-1]["answer"]["message"]["text"] == said


async def test_a_document_waits_for_the_resumption(slow: Platform) -> None:
    settings, postgres = slow.product.settings, slow.product.services.postgres
    document = (await slow.tenant.business.upload(b"A text that waits.", "waiting.txt"))["document"]["id"]
    await as_owner(settings, "UPDATE documents SET heartbeat_at = now() - interval '1 hour' WHERE status = 'QUEUED'")
    await slow.suspend()
    before = await contents(settings)
    job = {"services": slow.product.services}
    assert await sweep_documents(job) == 0
    async with postgres.write(slow.tenant.id) as tx:
        assert await ingestion.claim(tx, uuid_of(document)) is None
    assert await contents(settings) == before
    await slow.resume()
    assert await sweep_documents(job) == 1
    async with postgres.write(slow.tenant.id) as tx:
        claimed = await ingestion.claim(tx, uuid_of(document))
    assert claimed is not None
    assert claimed.vanished == 0


class AsyncSockets:
    """Several acknowledged sockets at once."""

    def __init__(self, product: Product, tokens: list[str]) -> None:
        self._contexts = [product.socket(token) for token in tokens]

    async def __aenter__(self) -> list[aiohttp.ClientWebSocketResponse]:
        return [await context.__aenter__() for context in self._contexts]

    async def __aexit__(self, *error: object) -> None:
        for context in reversed(self._contexts):
            await context.__aexit__(None, None, None)


async def _subscribe(socket: aiohttp.ClientWebSocketResponse, document: str) -> None:
    payload = {"query": PROGRESS, "variables": {"id": document}}
    await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
