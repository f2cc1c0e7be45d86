"""`connection_init`: who is let in, and that who is not is told why."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from owner import as_owner, short_lived
from product import Product

SUBSCRIPTION = 'subscription { answer(id: "ans_00000000000000000000000000000000") { __typename } }'


async def _refused(product: Product, payload: Any) -> str:
    """The reason with which a socket is closed as forbidden after `connection_init`, instead of being acknowledged."""
    protocols = ("graphql-transport-ws",)
    async with product.http.ws_connect(f"{product.url}/graphql", protocols=protocols) as socket:
        await socket.send_json({"type": "connection_init", "payload": payload})
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE, message
        assert socket.close_code == 4403
        return message.extra  # type: ignore[no-any-return]


NO_BEARER = "UNAUTHENTICATED: `Authorization` must be `Bearer` and an access token."
NOT_VALID = "UNAUTHENTICATED: The access token is not valid. Sign in again."


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        *((bad, NOT_VALID) for bad in ("Bearer x", "Bearer")),
        *((bad, NO_BEARER) for bad in ("nonsense", "Basic cGF0OnBhdA==", 5, True, ["Bearer x"], {})),
    ],
)
async def test_a_socket_with_a_bad_token_is_closed_with_the_reason(
    product: Product, authorization: Any, reason: str
) -> None:
    assert await _refused(product, {"authorization": authorization}) == reason


async def test_a_socket_with_an_expired_token_is_told_to_refresh(product: Product) -> None:
    token = short_lived(await product.sign_up(), -1)
    reason = "UNAUTHENTICATED: The access token has expired. Refresh the session, or sign in again."
    assert await _refused(product, {"authorization": f"Bearer {token}"}) == reason


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE sessions SET revoked_at = now() WHERE tenant_id = $1", "This session has ended. Sign in again."),
        ("UPDATE users SET suspended_at = now() WHERE tenant_id = $1", "This account is suspended."),
        ("UPDATE tenants SET suspended_at = now() WHERE id = $1", "This organisation is suspended."),
    ],
    ids=["ended", "suspended", "organisation suspended"],
)
async def test_a_socket_is_told_that_its_session_has_ended_or_is_suspended(
    product: Product, statement: str, words: str
) -> None:
    person = await product.sign_up()
    await as_owner(product.settings, statement, person.tenant_id)
    assert await _refused(product, {"authorization": f"Bearer {person.token}"}) == f"UNAUTHENTICATED: {words}"


async def test_what_a_socket_signs_in_with_replaces_the_handshake_s_token(product: Product) -> None:
    person = await product.sign_up()
    headers, protocols = {"Authorization": f"Bearer {person.token}"}, ("graphql-transport-ws",)
    for payload, kind in (({}, aiohttp.WSMsgType.TEXT), ({"authorization": "Bearer x"}, aiohttp.WSMsgType.CLOSE)):
        url = f"{product.url}/graphql"
        async with product.http.ws_connect(url, protocols=protocols, headers=headers) as socket:
            await socket.send_json({"type": "connection_init", "payload": payload})
            assert (await socket.receive()).type is kind


async def test_a_socket_without_a_token_may_connect_and_is_told_to_sign_in(product: Product) -> None:
    async with product.socket(None) as socket:
        await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": SUBSCRIPTION}})
        frame = await socket.receive_json()
        assert (frame["id"], frame["type"]) == ("1", "error")
        assert frame["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        # What nobody needs to be signed in for goes on, such as signing in.
        await socket.send_json({"id": "2", "type": "subscribe", "payload": {"query": "{ viewer { user { id } } }"}})
        assert (await socket.receive_json())["payload"]["data"] == {"viewer": None}
