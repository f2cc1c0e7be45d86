"""How often somebody may come: refusals over HTTP and WebSocket, and that a refused request does nothing."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from statements import counted

from core.settings import Settings
from multipart import Part, file_map, form, send
from owner import as_owner, counts, kept_files
from product import PASSWORD, SEND, UPLOAD, Person, Product, running_product
from wire import relayed

VIEWER = "{ viewer { user { email } } }"
NOBODY = "{ viewer { user { id } } }"
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) { __typename
  ... on SignInPayload { session { accessToken } } ... on UserError { code message }
  ... on RateLimited { retryAfterMs } } }"""
SIGN_UP = """mutation($input: SignUpInput!) { signUp(input: $input) { __typename
  ... on UserError { code message } ... on RateLimited { retryAfterMs } } }"""
CHANGE_PASSWORD = """mutation($input: ChangePasswordInput!) { changePassword(input: $input) { __typename
  ... on UserError { code message } ... on RateLimited { retryAfterMs } } }"""
MINUTE = range(40_000, 60_001)
"""Milliseconds that somebody waits who has one request a minute and has just had it; on a busy day, a while ago."""

Limited = Callable[..., AbstractAsyncContextManager[Product]]


@pytest.fixture
def limited(settings: Settings) -> Limited:
    """A product with limits of the test's own; each rate is one a minute, so that nothing comes back meanwhile."""

    @asynccontextmanager
    async def start(redis_url: str | None = None, **limits: int) -> AsyncIterator[Product]:
        own = {f"rate_limit_{name}": value for name, value in limits.items()}
        changed = settings.model_copy(update=own | ({"redis_url": redis_url} if redis_url else {}))
        async with running_product(changed, worker=False) as product:
            yield product

    return start


async def answered(
    product: Product, query: str, token: str | None = None, *, address: str | None = None, **variables: Any
) -> tuple[int, int | None, dict[str, Any]]:
    """Status, `Retry-After` and body. The API believes a proxy on its own machine what the address is."""
    headers = {"x-forwarded-for": address} if address else {}
    if token:
        headers["authorization"] = f"Bearer {token}"
    body = {"query": query, "variables": variables}
    async with product.http.post(f"{product.url}/graphql", json=body, headers=headers) as response:
        retry = response.headers.get("retry-after")
        return response.status, int(retry) if retry else None, json.loads(await response.read())


def assert_refused(answer: tuple[int, int | None, dict[str, Any]]) -> None:
    """The whole request was refused, for a minute."""
    status, retry, body = answer
    (error,) = body["errors"]
    assert (status, error["extensions"]["code"]) == (429, "RATE_LIMITED")
    assert error["extensions"]["retryAfterMs"] in MINUTE
    assert retry == math.ceil(error["extensions"]["retryAfterMs"] / 1_000)
    assert error["message"] == f"Too many requests. Try again in {retry} seconds."
    assert len(error["extensions"]["requestId"]) == 32
    assert "data" not in body


def assert_member(answer: tuple[int, int | None, dict[str, Any]], field: str, words: str) -> None:
    """One mutation was refused, for a minute."""
    status, retry, body = answer
    result = body["data"][field]
    assert (status, result["__typename"], result["code"]) == (200, "RateLimited", "RATE_LIMITED")
    assert result["retryAfterMs"] in MINUTE
    assert retry == math.ceil(result["retryAfterMs"] / 1_000)
    assert result["message"] == f"{words} Try again in {retry} seconds."


async def test_a_person_comes_as_often_as_the_burst_and_no_statement_is_run_for_more(limited: Limited) -> None:
    async with limited(requests_per_minute=1, burst=3) as product:
        person, other = await product.sign_up(), await product.sign_up()
        for _ in range(3):
            assert (await answered(product, VIEWER, person.token))[:2] == (200, None)
        async with counted(product) as statements:
            assert_refused(await answered(product, VIEWER, person.token))
            assert_refused(await answered(product, "{ this is no document", person.token))
        assert statements == []
        assert (await answered(product, VIEWER, other.token))[0] == 200
        assert (await answered(product, NOBODY))[0] == 200


async def test_whoever_is_not_signed_in_counts_by_address_and_so_does_a_bad_token(limited: Limited) -> None:
    async with limited(anonymous_per_minute=1, anonymous_burst=3) as product:
        person = await product.sign_up()
        assert (await answered(product, NOBODY))[0] == 200
        assert (await answered(product, NOBODY, "no.such.token"))[0] == 200
        assert_refused(await answered(product, NOBODY, "clq_sk_nokey"))
        assert_refused(await answered(product, NOBODY))
        async with product.http.get(f"{product.url}/graphql", params={"query": NOBODY}) as response:
            assert response.status == 429
        async with product.http.post(f"{product.url}/graphql", data=b"\xff{") as response:
            assert response.status == 429
        assert (await answered(product, NOBODY, address="203.0.113.7"))[0] == 200
        assert (await answered(product, VIEWER, person.token))[0] == 200


async def test_operations_on_a_socket_count_with_those_over_http_and_each_fails_alone(limited: Limited) -> None:
    async with limited(requests_per_minute=1, burst=4) as product:
        person = await product.sign_up()
        await answered(product, VIEWER, person.token)
        conversation = await person.conversation()
        async with product.socket(person.token) as socket:
            for _ in range(20):
                await socket.send_json({"type": "ping"})
                assert (await socket.receive_json())["type"] == "pong"
                await socket.send_json({"type": "complete", "id": "none"})
            for number in range(4):
                payload = {"query": SEND if number > 1 else VIEWER}
                if number > 1:
                    payload["variables"] = {"input": {"conversationId": conversation, "text": "Is it refused?"}}  # type: ignore[assignment]
                await socket.send_json({"id": str(number), "type": "subscribe", "payload": payload})
            frames: dict[tuple[str, str], Any] = {}
            while len(frames) < 6:
                frame = await socket.receive_json()
                frames[frame["id"], frame["type"]] = frame.get("payload")
            await socket.send_json({"type": "ping"})
            assert (await socket.receive_json())["type"] == "pong"
        assert set(frames) == {("0", "next"), ("0", "complete"), ("1", "next"), ("1", "complete")} | {
            ("2", "error"),
            ("3", "error"),
        }
        (error,) = frames["2", "error"]
        assert error["extensions"]["code"] == "RATE_LIMITED"
        assert error["extensions"]["retryAfterMs"] in MINUTE
        assert await as_owner(product.settings, "SELECT count(*) FROM messages") == [(0,)]
        assert_refused(await answered(product, VIEWER, person.token))


async def sign_in(product: Product, email: str, address: str, password: str = PASSWORD) -> Any:
    """The answer to a sign-in from an address."""
    return await answered(product, SIGN_IN, address=address, input={"email": email, "password": password})


async def test_an_address_tries_so_many_passwords_whatever_the_accounts(limited: Limited) -> None:
    async with limited(sign_in_per_minute=1, sign_in_burst=2) as product:
        person = await product.sign_up()
        for email in ("a@example.test", "b@example.test"):
            body = (await sign_in(product, email, "203.0.113.1"))[2]
            assert body["data"]["signIn"]["code"] == "INVALID_CREDENTIALS"
        refused = await sign_in(product, person.email, "203.0.113.1")
        assert_member(refused, "signIn", "Too many attempts to sign in.")
        assert await as_owner(product.settings, "SELECT count(*) FROM sessions") == [(1,)]
        assert "accessToken" in str(await sign_in(product, person.email, "203.0.113.2"))


async def test_an_account_is_tried_so_often_from_all_addresses_whether_or_not_it_exists(limited: Limited) -> None:
    async with limited(sign_in_per_minute=1, sign_in_burst=1) as product:
        person = await product.sign_up()
        for net, email in enumerate((person.email, "nobody@example.test", "not an address")):
            outcomes = [await sign_in(product, email, f"203.0.{net}.{n}", "a wrong password") for n in range(3)]
            codes = [body["data"]["signIn"]["code"] for _, _, body in outcomes]
            # Twice an address's burst.
            assert codes == ["INVALID_CREDENTIALS"] * 2 + ["RATE_LIMITED"], email
            assert outcomes[2][2]["data"]["signIn"]["message"].startswith("Too many attempts to sign in. Try again in")
        # Typed otherwise it is the same account, and the right password changes nothing.
        again = await sign_in(product, f" {person.email.upper()}", "203.0.113.99")
        assert again[2]["data"]["signIn"]["code"] == "RATE_LIMITED"
        assert await as_owner(product.settings, "SELECT count(*) FROM sessions") == [(1,)]


async def test_a_stolen_token_is_no_second_way_to_guess_the_password(limited: Limited) -> None:
    async with limited(sign_in_per_minute=1, sign_in_burst=1) as product:
        person = await product.sign_up()
        stored = await as_owner(product.settings, "SELECT password_hash FROM users")
        values = {"currentPassword": "a wrong password", "newPassword": "another good password"}
        for _ in range(2):
            body = (await answered(product, CHANGE_PASSWORD, person.token, input=values))[2]
            assert body["data"]["changePassword"]["code"] == "INVALID_CREDENTIALS"
        values["currentPassword"] = PASSWORD
        result = (await answered(product, CHANGE_PASSWORD, person.token, input=values))[2]["data"]["changePassword"]
        assert (result["__typename"], result["code"]) == ("RateLimited", "RATE_LIMITED")
        assert result["message"].startswith("Too many attempts to change the password. Try again in")
        assert await as_owner(product.settings, "SELECT password_hash FROM users") == stored
        # The thief has not locked the owner out.
        assert "accessToken" in str(await sign_in(product, person.email, "203.0.113.1"))


async def test_who_tries_an_account_s_sign_in_does_not_keep_its_owner_from_changing_the_password(
    limited: Limited,
) -> None:
    async with limited(sign_in_per_minute=1, sign_in_burst=1) as product:
        person = await product.sign_up()
        outcomes = [await sign_in(product, person.email, f"203.0.113.{n}", "a wrong password") for n in range(3)]
        assert outcomes[2][2]["data"]["signIn"]["code"] == "RATE_LIMITED"
        values = {"currentPassword": PASSWORD, "newPassword": "another good password"}
        assert "ChangePasswordPayload" in str(await answered(product, CHANGE_PASSWORD, person.token, input=values))


async def test_an_address_founds_so_many_organisations_and_mistakes_do_not_count(limited: Limited) -> None:
    async with limited(sign_up_per_minute=1, sign_up_burst=2) as product:
        values = {"organization": "Org", "name": "Pat", "email": "pat@example.test", "password": "short"}
        for _ in range(3):
            assert "InvalidInput" in str(await answered(product, SIGN_UP, input=values))
        await product.sign_up()
        await product.sign_up()
        values["password"] = PASSWORD
        refused = await answered(product, SIGN_UP, input=values)
        assert_member(refused, "signUp", "Too many organisations were founded from here.")
        assert await as_owner(product.settings, "SELECT count(*) FROM tenants") == [(2,)]
        assert "SignUpPayload" in str(await answered(product, SIGN_UP, address="2001:db8::1", input=values))


async def unfinished_upload(product: Product, person: Person) -> tuple[bytes, bytes]:
    """Head and body of the response to an upload whose file the client never sends."""
    operations = json.dumps({"query": UPLOAD, "variables": {"input": {"file": None}}})
    parts = [
        ("operations", "", operations),
        ("map", "", json.dumps({"0": ["variables.input.file"]})),
        ("0", '; filename="a.txt"\r\nContent-Type: text/plain', "The beginning of"),
    ]
    body = "\r\n".join(f'--b\r\nContent-Disposition: form-data; name="{n}"{more}\r\n\r\n{v}' for n, more, v in parts)
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {person.token}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nX-Colloquy-Preflight: 1\r\n"
        f"Content-Length: {len(body) + 500_000}\r\n\r\n"
    )
    host, port = product.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write((head + body).encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return answer.lower(), await reader.readexactly(length)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_an_upload_too_many_is_refused_before_its_file_has_come(limited: Limited) -> None:
    async with limited(uploads_per_minute=1, uploads_burst=2) as product:
        person = await product.sign_up()
        for number in range(2):
            assert (await person.upload(f"Text {number}".encode()))["__typename"] == "UploadDocumentPayload"
        before = await counts(person), kept_files(person)
        head, body = await unfinished_upload(product, person)
        assert head.startswith(b"http/1.1 200 ")
        assert b"retry-after: " in head
        result = json.loads(body)["data"]["uploadDocument"]
        assert (result["__typename"], result["code"]) == ("RateLimited", "RATE_LIMITED")
        assert result["reason"].startswith("Too many uploads.")
        assert (await person.upload(b"A whole file."))["__typename"] == "RateLimited"
        assert (await counts(person), kept_files(person)) == before


async def test_a_form_beyond_the_rate_of_uploads_is_held_to_the_limits_of_every_form(limited: Limited) -> None:
    lists = b'{"query": "{ __typename }", "variables": {"a": [' + b",".join([b"[]"] * 90_000) + b"]}}"
    async with limited(uploads_per_minute=1, uploads_burst=1) as product:
        person = await product.sign_up()
        assert (await person.upload(b"The only one."))["__typename"] == "UploadDocumentPayload"
        for content, kind in ((lists, "input_values"), (b" " * 300_000, "form_field_bytes")):
            reply = await send(product, person.token, form(Part("operations", content), file_map({})))
            assert reply.error[1] == "LIMIT_EXCEEDED"
            assert reply.body["errors"][0]["extensions"]["kind"] == kind


async def test_a_request_too_many_with_a_file_is_refused_before_its_body_has_come(limited: Limited) -> None:
    async with limited(requests_per_minute=1, burst=1) as product:
        person = await product.sign_up()
        await answered(product, VIEWER, person.token)
        head, body = await unfinished_upload(product, person)
        assert head.startswith(b"http/1.1 429 ")
        assert json.loads(body)["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
        assert kept_files(person) == []


@pytest.mark.timeout(40)
async def test_without_redis_the_process_limits_at_the_same_rates(limited: Limited, settings: Settings) -> None:
    assert settings.redis_url is not None
    async with (
        relayed(settings.redis_url) as (url, relay),
        limited(redis_url=url, requests_per_minute=1, burst=3, sign_in_per_minute=1, sign_in_burst=1) as product,
    ):
        person = await product.sign_up()
        await relay.close()
        for _ in range(3):
            assert (await answered(product, VIEWER, person.token))[2]["data"]["viewer"]["user"]["email"] == person.email
        assert_refused(await answered(product, VIEWER, person.token))
        assert "accessToken" in str(await sign_in(product, person.email, "203.0.113.1"))
        assert_member(await sign_in(product, person.email, "203.0.113.1"), "signIn", "Too many attempts to sign in.")
        async with product.socket(person.token) as socket:
            await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": VIEWER}})
            frame = await socket.receive_json()
            assert (frame["type"], frame["payload"][0]["extensions"]["code"]) == ("error", "RATE_LIMITED")
        await relay.listen_again()
