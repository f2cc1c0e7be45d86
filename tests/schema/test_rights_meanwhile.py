"""Rights that end while somebody who had them waits: for a row, for a connection, or for a commit."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from mailbox import token_for

import pytest
from accounts import INVITE, NEW, REQUEST_RESET, RESET, refusal, run
from test_access import code_of, colleague
from test_key_rates import CREATE_KEY, limited, status
from turns import held

from core.settings import Settings
from datastores.models import Role
from owner import as_owner, set_role, until
from product import SEND, START, Person, Product
from resolvers import acting, passwords

UPDATE = """mutation($input: UpdateMemberInput!) { updateMember(input: $input) { __typename
  ... on UserError { code message } } }"""
REMOVE = """mutation($input: RemoveMemberInput!) { removeMember(input: $input) { __typename
  ... on UserError { code message } } }"""
KEY = "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { __typename } }"
REVOKE_KEY = "mutation($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) { __typename } }"
KEY_WITH_ID = CREATE_KEY.replace("{ secret }", "{ secret apiKey { id } }")
MEMBERS = """SELECT FROM tenants WHERE id = (SELECT tenant_id FROM users WHERE email = $1) FOR NO KEY UPDATE"""
PERSON = "SELECT FROM users WHERE email = $1 FOR UPDATE"


async def stored(person: Person) -> tuple[str, bool]:
    """The person's role, and whether they are suspended."""
    ((role, suspended),) = await as_owner(
        person.product.settings, "SELECT role, suspended_at IS NOT NULL FROM users WHERE email = $1", person.email
    )
    return role, suspended


@pytest.mark.parametrize(
    ("change", "code", "left"),
    [({"role": "USER"}, "FORBIDDEN", ("USER", False)), ({"suspended": True}, "UNAUTHENTICATED", ("BUSINESS", True))],
    ids=["demoted", "suspended"],
)
async def test_nobody_undoes_what_ended_their_rights_with_a_request_that_was_under_way(
    own_product: Product, change: dict[str, object], code: str, left: tuple[str, bool]
) -> None:
    chief = await own_product.sign_up()
    other = await colleague(chief, Role.BUSINESS)
    fields = f'updateMember(input: {{userId: "{other.user_id}", role: BUSINESS, suspended: false}}) {{ __typename }}'
    undo = " ".join(f"m{number}: {fields}" for number in range(5))
    async with held(chief, MEMBERS) as turns:
        await turns.comes(UPDATE, chief.token, userId=other.user_id, **change)
        await turns.asks(other, "mutation { " + undo + " }")
    changed, undone = await turns.results()
    assert changed == {"__typename": "UpdateMemberPayload"}
    assert {error["extensions"]["code"] for error in undone["errors"]} == {code}
    assert await stored(other) == left


async def test_no_key_is_made_behind_a_reset_by_a_session_that_it_ended(own_product: Product) -> None:
    person = await own_product.sign_up()
    await run(own_product, REQUEST_RESET, email=person.email)
    token = await token_for(own_product, person.email, "A new password")
    async with held(person, PERSON) as turns:
        await turns.comes(RESET, token=token, newPassword=NEW)
        await turns.asks(person, KEY, input={"name": "x", "role": "BUSINESS"})
    reset, made = await turns.results()
    assert reset["__typename"] == "ResetPasswordPayload"
    assert code_of(made) == "UNAUTHENTICATED"
    live = "SELECT count(*) FROM api_keys WHERE tenant_id = $1 AND revoked_at IS NULL"
    assert await as_owner(own_product.settings, live, person.tenant_id) == [(0,)]


async def test_nobody_is_invited_behind_the_inviters_demotion(own_product: Product) -> None:
    chief = await own_product.sign_up()
    other = await colleague(chief, Role.BUSINESS)
    verified = "UPDATE users SET email_verified_at = now() WHERE email = $1"
    await as_owner(own_product.settings, verified, other.email)
    async with held(other, PERSON) as turns:
        await turns.comes(UPDATE, chief.token, userId=other.user_id, role="USER")
        await turns.asks(other, INVITE, input={"email": "new@example.test", "role": "BUSINESS"})
    changed, invited = await turns.results()
    assert changed == {"__typename": "UpdateMemberPayload"}
    assert code_of(invited) == "FORBIDDEN"
    assert await as_owner(own_product.settings, "SELECT 1 FROM invitations") == []


async def test_who_is_removed_in_the_middle_of_something_is_told_so(own_product: Product) -> None:
    chief = await own_product.sign_up()
    other = await colleague(chief, Role.BUSINESS)
    async with held(other, PERSON) as turns:
        await turns.comes(REMOVE, chief.token, userId=other.user_id)
        await turns.asks(other, START, input={})
        await turns.asks(other, KEY, input={"name": "x", "role": "BUSINESS"})
    removed, *others = await turns.results()
    assert removed == {"__typename": "RemoveMemberPayload"}
    assert [(code_of(body), body["errors"][0]["message"]) for body in others] == [
        ("UNAUTHENTICATED", "This account no longer exists.")
    ] * 2


async def test_whoever_has_waited_long_is_looked_at_again_before_anything_is_written(
    own_product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "SURE_SECONDS", -1.0)
    person = await own_product.sign_up()
    await person.query("{ viewer { user { id } } }")
    # Nobody is told, as if it had happened just now: a copy says that the person may come in.
    await as_owner(own_product.settings, "UPDATE users SET suspended_at = now() WHERE email = $1", person.email)
    assert code_of(await person.raw(START, input={})) == "UNAUTHENTICATED"
    assert await as_owner(own_product.settings, "SELECT 1 FROM conversations") == []


async def test_a_mutation_goes_to_its_end_when_its_client_goes_away(own_product: Product) -> None:
    person = await own_product.sign_up()
    session = "SELECT FROM sessions WHERE user_id = (SELECT id FROM users WHERE email = $1) FOR UPDATE"
    waiting = """SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE datname = current_database() AND NOT granted"""

    async def waits() -> bool:
        return await as_owner(own_product.settings, waiting) != [(0,)]

    async with own_product.socket(person.token) as socket:
        async with held(person, session):
            payload = {"query": "mutation { signOut { __typename } }"}
            await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
            await until(waits)
            await socket.send_json({"id": "1", "type": "complete"})
            # Behind what is waited for, so that the cancellation is there before the row is.
            await socket.send_json({"type": "ping"})
            while (await socket.receive_json())["type"] != "pong":
                pass

        async def ended() -> bool:
            return await refusal(own_product, person.token) == "UNAUTHENTICATED"

        async with asyncio.timeout(2):
            await until(ended)


@pytest.mark.parametrize("query", ["{ __typename }", "{ viewer { user { email } } }", "{"])
async def test_a_key_that_has_ended_uses_up_nothing_of_those_that_have_not(settings: Settings, query: str) -> None:
    async with limited(settings, keys_per_minute=1, keys_burst=4, anonymous_per_minute=1, anonymous_burst=3) as product:
        person = await product.sign_up()
        made = [
            (await person.query(KEY_WITH_ID, input={"name": "x", "role": "BUSINESS"}))["createApiKey"] for _ in range(2)
        ]
        ended, good = (replace(person, token=one["secret"]) for one in made)
        assert await run(product, REVOKE_KEY, person.token, apiKeyId=made[0]["apiKey"]["id"])
        answers = [await status(ended, query) for _ in range(8)]
        assert answers.count(429) == 6, "the address has two left of the three, one for signing up"
        assert [await status(good) for _ in range(4)] == [200] * 4


async def test_the_last_administrator_stays(own_product: Product) -> None:
    chief = await own_product.sign_up()
    await colleague(chief, Role.BUSINESS)
    await set_role(chief, "ADMIN")
    for mutation, fields in ((UPDATE, {"role": "BUSINESS"}), (UPDATE, {"suspended": True}), (REMOVE, {})):
        refused = await run(own_product, mutation, chief.token, userId=chief.user_id, **fields)
        assert (refused["__typename"], refused["code"]) == ("Conflict", "CONFLICT")
        assert "administers the platform" in refused["message"]
    second = await colleague(chief, Role.ADMIN)
    await run(own_product, UPDATE, second.token, userId=chief.user_id, role="USER")
    assert await stored(chief) == ("USER", False)


async def test_a_member_who_asks_at_the_same_moment_is_removed(own_product: Product) -> None:
    chief = await own_product.sign_up()
    for _ in range(4):
        other = await colleague(chief, Role.BUSINESS)
        conversation = await other.conversation()
        asking = [
            asyncio.create_task(other.raw(SEND, input={"conversationId": conversation, "text": f"And {number}?"}))
            for number in range(5)
        ]
        await asyncio.sleep(0)
        removed = await run(own_product, REMOVE, chief.token, userId=other.user_id)
        assert removed == {"__typename": "RemoveMemberPayload"}
        codes = {code_of(body) for body in await asyncio.gather(*asking)}
        assert codes <= {None, "UNAUTHENTICATED"}


async def test_an_administrator_who_has_waited_long_is_looked_at_again(
    own_product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "SURE_SECONDS", -1.0)
    chief = await own_product.sign_up()
    await set_role(chief, "ADMIN")
    held_up = asyncio.Event()
    hashed = passwords.hashed

    async def demoted_meanwhile(password: str) -> str:
        await set_role(chief, "BUSINESS")
        held_up.set()
        return await hashed(password)

    monkeypatch.setattr(passwords, "hashed", demoted_meanwhile)
    founding = {"organization": "New", "name": "Nora", "email": "nora@example.test"}
    create = "mutation($input: CreateTenantInput!) { createTenant(input: $input) { __typename } }"
    assert code_of(await chief.raw(create, input=founding)) == "FORBIDDEN"
    assert held_up.is_set()
    assert await as_owner(own_product.settings, "SELECT 1 FROM tenants WHERE name = 'New'") == []
