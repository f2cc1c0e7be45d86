"""A session fixed by another organisation: its cookie, planted in somebody's browser, gives nobody's session away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from measuring import Door

from app.cookies import COOKIE, HEADER
from product import PASSWORD

pytestmark = pytest.mark.timeout(60)
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) {
  ... on SignInPayload { session { accessToken refreshToken user { id } } } ... on UserError { code } } }"""
REFRESH = """mutation($input: RefreshSessionInput) { refreshSession(input: $input) {
  ... on RefreshSessionPayload { session { refreshToken user { id } } } ... on UserError { code } } }"""


async def _browser(door: Door, cookie: str, query: str, variables: Any = None) -> tuple[dict[str, Any], str]:
    """What a page of ours is answered whose browser has this cookie, and the cookie that it has then."""
    headers = {HEADER: "1", "Origin": door.target.url, "Cookie": f"{COOKIE}={cookie}"}
    payload = {"query": query, "variables": variables}
    async with door.target.http.post(f"{door.target.url}/graphql", json=payload, headers=headers) as response:
        ((_, result),) = json.loads(await response.read())["data"].items()
        new = response.cookies.get(COOKIE)
    door.target.http.cookie_jar.clear()
    return result, new.value if new else cookie


async def _signed_in(door: Door, email: str, cookie: str) -> tuple[dict[str, Any], str]:
    result, new = await _browser(door, cookie, SIGN_IN, {"input": {"email": email, "password": PASSWORD}})
    return result["session"], new


async def test_who_signs_in_over_a_planted_cookie_gets_a_session_of_their_own(door: Door) -> None:
    victim, attacker = door.target.victim, door.target.attacker
    _, planted = await _signed_in(door, attacker.email, "")
    session, cookie = await _signed_in(door, victim.email, planted)
    assert session["user"]["id"] == victim.user_id
    assert cookie != planted
    claims = [door.target.signer.check_access(token) for token in (session["accessToken"], attacker.token)]
    assert len({claim.session_id for claim in claims}) == len({claim.tenant_id for claim in claims}) == 2
    # What the attacker still has is the attacker's, and the victim's goes on.
    theirs, _ = await _browser(door, planted, REFRESH)
    assert theirs["session"]["user"]["id"] == attacker.user_id
    mine, _ = await _browser(door, cookie, REFRESH)
    assert mine["session"]["user"]["id"] == victim.user_id


async def test_a_planted_cookie_ends_with_its_session(door: Door) -> None:
    session, planted = await _signed_in(door, door.target.attacker.email, "")
    sign_out = {"query": "mutation { signOut { signedOut } }"}
    assert await door.target.graphql(sign_out, session["accessToken"]) == "200 answered"
    refused, _ = await _browser(door, planted, REFRESH)
    assert refused == {"code": "INVALID_CREDENTIALS"}
