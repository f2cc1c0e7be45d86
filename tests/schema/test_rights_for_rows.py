"""Rights that end while a mutation waits for a row: it is not done. And nobody waits for a row for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from accounts import INVITE, run
from accounts import REVOKE as REVOKE_INVITATION
from test_access import code_of, colleague
from test_key_rates import CREATE_KEY
from test_rights_meanwhile import REVOKE_KEY, UPDATE
from turns import held

from core.ids import NodeKind, to_global
from datastores.models import Role
from owner import as_owner, set_role, set_verified, uuid_of
from product import SEND, Person, Product
from resolvers import acting

EVERYWHERE = "mutation { signOutEverywhere { signedOut } }"
REVOKE_SESSION = "mutation($input: RevokeSessionInput!) { revokeSession(input: $input) { __typename } }"
KEY_WITH_ID = CREATE_KEY.replace("{ secret }", "{ secret apiKey { id } }")
KEYS = "SELECT FROM api_keys WHERE tenant_id = (SELECT tenant_id FROM users WHERE email = $1) FOR UPDATE"
INVITATIONS = KEYS.replace("api_keys", "invitations")
CONVERSATIONS = KEYS.replace("api_keys", "conversations")
SESSIONS = "SELECT FROM sessions WHERE user_id = (SELECT id FROM users WHERE email = $1) FOR UPDATE"
Loss = Callable[[Person], Awaitable[object]]


async def suspended(person: Person) -> None:
    await as_owner(person.product.settings, "UPDATE users SET suspended_at = now() WHERE email = $1", person.email)
    await person.product.services.standings.changed(person.tenant_id, [person.session_id])


async def signed_out(person: Person) -> None:
    ended = "UPDATE sessions SET revoked_at = now() WHERE id = $1"
    await as_owner(person.product.settings, ended, person.session_id)
    await person.product.services.standings.changed(person.tenant_id, [person.session_id])


async def demoted(person: Person) -> None:
    await set_role(person, "USER")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait is one after which the person is looked at again."""
    monkeypatch.setattr(acting, "SURE_SECONDS", -1.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("loss", [suspended, signed_out])
async def test_no_question_is_stored_by_who_lost_the_right_while_it_waited(own_product: Product, loss: Loss) -> None:
    person = await own_product.sign_up()
    conversation = await person.conversation()
    async with held(person, CONVERSATIONS) as turns:
        await turns.asks(person, SEND, input={"conversationId": conversation, "text": "And now?"})
        await loss(person)
    assert [code_of(body) for body in await turns.results()] == ["UNAUTHENTICATED"]
    assert await as_owner(own_product.settings, "SELECT 1 FROM messages") == []
    denied = "SELECT outcome, code FROM audit_log WHERE action = 'sendMessage'"
    assert await as_owner(own_product.settings, denied) == [("DENIED", "UNAUTHENTICATED")]


@pytest.mark.parametrize(("loss", "code"), [(demoted, "FORBIDDEN"), (suspended, "UNAUTHENTICATED")])
async def test_no_key_is_revoked_by_who_lost_the_right_while_it_waited(
    own_product: Product, loss: Loss, code: str
) -> None:
    person = await own_product.sign_up()
    made = (await person.query(KEY_WITH_ID, input={"name": "x", "role": "USER"}))["createApiKey"]
    async with held(person, KEYS) as turns:
        await turns.asks(person, REVOKE_KEY, input={"apiKeyId": made["apiKey"]["id"]})
        await loss(person)
    assert [code_of(body) for body in await turns.results()] == [code]
    assert await as_owner(own_product.settings, "SELECT revoked_at FROM api_keys") == [(None,)]


async def test_no_invitation_is_revoked_by_who_was_demoted_while_it_waited(own_product: Product) -> None:
    person = await own_product.sign_up()
    await set_verified(person)
    fields = {"email": "new@example.test", "role": "USER"}
    made = await run(own_product, INVITE, person.token, **fields)
    async with held(person, INVITATIONS) as turns:
        await turns.asks(person, REVOKE_INVITATION, input={"invitationId": made["invitation"]["id"]})
        await demoted(person)
    assert [code_of(body) for body in await turns.results()] == ["FORBIDDEN"]
    assert await as_owner(own_product.settings, "SELECT count(*) FROM invitations") == [(1,)]


async def test_nobody_is_suspended_by_who_signed_out_while_it_waited(own_product: Product) -> None:
    chief = await own_product.sign_up()
    other = await colleague(chief, Role.BUSINESS)
    async with held(other) as turns:
        await turns.asks(chief, UPDATE, input={"userId": other.user_id, "suspended": True})
        await signed_out(chief)
    assert [code_of(body) for body in await turns.results()] == ["UNAUTHENTICATED"]
    assert await as_owner(own_product.settings, "SELECT 1 FROM users WHERE suspended_at IS NOT NULL") == []


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("own", [True, False])
async def test_who_waits_to_end_sessions_ends_them_and_the_own_one_too(own_product: Product, own: bool) -> None:
    person = await own_product.sign_up()
    session = to_global(NodeKind.SESSION, person.session_id)
    async with held(person, SESSIONS) as turns:
        await turns.asks(
            person, REVOKE_SESSION if own else EVERYWHERE, **({"input": {"sessionId": session}} if own else {})
        )
    assert [code_of(body) for body in await turns.results()] == [None]
    assert await as_owner(own_product.settings, "SELECT 1 FROM sessions WHERE revoked_at IS NULL") == []


@pytest.mark.usefixtures("impatient")
async def test_who_waits_to_give_up_a_role_gives_it_up(own_product: Product) -> None:
    person = await own_product.sign_up()
    await colleague(person, Role.BUSINESS)
    async with held(person) as turns:
        await turns.asks(person, UPDATE, input={"userId": person.user_id, "role": "USER"})
    assert [code_of(body) for body in await turns.results()] == [None]
    role = "SELECT role FROM users WHERE id = $1"
    assert await as_owner(own_product.settings, role, uuid_of(person.user_id)) == [("USER",)]


async def test_who_waits_too_long_for_a_row_may_try_again_and_nothing_was_done(
    own_product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "LOCK_SECONDS", 0.1)
    person = await own_product.sign_up()
    conversation = await person.conversation()
    async with held(person, CONVERSATIONS):
        body = await person.raw(SEND, input={"conversationId": conversation, "text": "And now?"})
    (error,) = body["errors"]
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert error["extensions"]["retryAfterMs"] > 0
    assert "Nothing was done" in error["message"]
    assert await as_owner(own_product.settings, "SELECT 1 FROM messages") == []
    row = "SELECT outcome, code FROM audit_log WHERE action = 'sendMessage'"
    assert await as_owner(own_product.settings, row) == [("REFUSED", "RATE_LIMITED")]
    assert await person.send(conversation, "And now?")


async def test_who_asks_what_a_key_is_good_for_waits_for_nobody_who_holds_it(own_product: Product) -> None:
    person = await own_product.sign_up()
    made = (await person.query(KEY_WITH_ID, input={"name": "x", "role": "USER"}))["createApiKey"]
    async with held(person, KEYS), asyncio.timeout(5):
        body = await own_product.post("{ viewer { user { id } } }", token=made["secret"])
    assert "errors" not in body
