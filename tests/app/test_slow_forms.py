"""Forms that come slowly, not to their end, or from somebody who may no longer do what they ask for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from core.settings import Settings
from multipart import BOUNDARY, Part, file_map, form, operations, send
from owner import as_owner, set_role, short_lived
from product import Person, Product, running_product

BODY = form(operations(name="late.txt"), file_map(), Part("0", b"A text that is long enough to be read.", "a.txt"))


async def held(body: bytes, go_on: asyncio.Event, begun: asyncio.Event) -> AsyncIterator[bytes]:
    """A body whose second half is sent when it may be."""
    yield body[: len(body) // 2]
    begun.set()
    await go_on.wait()
    yield body[len(body) // 2 :]


async def suspend(person: Person) -> None:
    await as_owner(person.product.settings, "UPDATE users SET suspended_at = now() WHERE email = $1", person.email)


async def suspend_tenant(person: Person) -> None:
    await as_owner(person.product.settings, "UPDATE tenants SET suspended_at = now() WHERE id = $1", person.tenant_id)


async def sign_out(person: Person) -> None:
    await person.query("mutation { signOut { signedOut } }")


async def weaken(person: Person) -> None:
    await set_role(person, "USER")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (suspend, "UNAUTHENTICATED"),
        (suspend_tenant, "UNAUTHENTICATED"),
        (sign_out, "UNAUTHENTICATED"),
        (weaken, "FORBIDDEN"),
    ],
)
async def test_a_form_is_done_by_whom_its_sender_is_when_it_has_come(
    own_product: Product, change: Callable[[Person], Awaitable[None]], code: str
) -> None:
    person = await own_product.sign_up()
    go_on, begun = asyncio.Event(), asyncio.Event()
    sending = asyncio.create_task(send(own_product, person.token, held(BODY, go_on, begun)))
    await begun.wait()
    await asyncio.sleep(0.2)  # so that the head has been read, and its sender looked at
    await change(person)
    # As every change in the product does.
    await own_product.services.standings.changed(person.tenant_id, [person.session_id])
    go_on.set()
    reply = await sending
    assert reply.error[1] == code
    assert await as_owner(own_product.settings, "SELECT count(*) FROM documents") == [(0,)]


async def test_a_token_that_expires_while_its_form_comes_is_worth_nothing(product: Product) -> None:
    person = await product.sign_up()
    go_on, begun = asyncio.Event(), asyncio.Event()
    sending = asyncio.create_task(send(product, short_lived(person, 1), held(BODY, go_on, begun)))
    await begun.wait()
    await asyncio.sleep(1.1)  # until the token, which is good for one second, is not
    go_on.set()
    status, code, message = (await sending).error
    assert (code, message.startswith("The access token has expired")) == ("UNAUTHENTICATED", True), status


async def test_a_form_that_comes_drop_by_drop_is_given_up(settings: Settings) -> None:
    async def drops() -> AsyncIterator[bytes]:
        for byte in BODY:
            yield bytes([byte])
            await asyncio.sleep(0.05)

    async with running_product(settings.model_copy(update={"request_timeout": 0.5}), worker=False) as product:
        person = await product.sign_up()
        began = time.monotonic()
        status, _, message = (await send(product, person.token, drops())).error
        assert time.monotonic() - began < 0.05 * len(BODY)
    assert (status, message.partition(" for ")[0]) == (408, "Nothing of the upload arrived")


@pytest.mark.parametrize("missing", [4, 12, 60])
async def test_a_form_without_its_end_is_refused(product: Product, missing: int) -> None:
    person = await product.sign_up()
    assert (await send(product, person.token, BODY[:-missing])).error == (
        400,
        "BAD_USER_INPUT",
        "The multipart body is not valid: it was broken off, its last boundary is missing.",
    )


@pytest.mark.parametrize("accept", ["text/event-stream", "multipart/mixed;subscriptionSpec=1.0"])
async def test_a_client_that_takes_only_a_stream_uploads_too(product: Product, accept: str) -> None:
    person = await product.sign_up()
    headers = {
        "Authorization": f"Bearer {person.token}",
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "x-colloquy-preflight": "1",
        "Accept": accept,
    }
    async with product.http.post(f"{product.url}/graphql", data=BODY, headers=headers) as response:
        text = await response.text()
    assert '"__typename":"UploadDocumentPayload"' in text, text
