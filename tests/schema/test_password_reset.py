"""A lost password: who gets a link, what it is good for, and what a stranger learns: nothing."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from mailbox import a_while_later, letters, link_in, nothing_waits, token_for

import pytest
from accounts import NEW, REQUEST_RESET, RESET, VERIFIED, VERIFY, kept, refusal, run, signs_in, tampered
from auditing import rows
from test_access import CHANGE, CREATE_KEY, colleague

from core.ids import new_id
from core.opaque_tokens import TokenKind
from core.settings import Settings
from datastores.models import Role
from owner import as_owner
from product import PASSWORD, Person, Product, running_product

LOST = "A new password"
REQUESTED = {"__typename": "RequestPasswordResetPayload", "requested": True}


async def lost(person: Person, count: int = 1) -> str:
    """The token of the person's newest of so many links."""
    assert await run(person.product, REQUEST_RESET, email=person.email) == REQUESTED
    return await token_for(person.product, person.email, LOST, count)


async def test_a_link_by_mail_gives_a_new_password_and_ends_all_sessions(product: Product) -> None:
    person = await product.sign_up()
    token = await lost(person)
    assert await run(product, RESET, token=token, newPassword=NEW) == {
        "__typename": "ResetPasswordPayload",
        "email": person.email,
    }
    assert await refusal(product, person.token) == "UNAUTHENTICATED"
    assert not await signs_in(product, person.email, PASSWORD)
    assert await signs_in(product, person.email, NEW)
    (notice,) = await letters(product, person.email, "Your password was changed")
    assert "If it was not you" in notice


async def test_open_sockets_end_within_two_seconds(product: Product) -> None:
    person = await product.sign_up()
    token = await lost(person)
    async with product.socket(person.token) as socket:
        await run(product, RESET, token=token, newPassword=NEW)
        await socket.receive(timeout=2)
        assert socket.close_code == 4403


async def test_api_keys_of_the_person_end_with_it_also_on_sockets_and_the_audit_log_names_them(
    product: Product,
) -> None:
    person = await product.sign_up()
    other = await colleague(person, Role.BUSINESS)
    keys = [
        await run(product, CREATE_KEY, one.token, name="server", role="BUSINESS") for one in (person, person, other)
    ]
    assert await refusal(product, keys[0]["secret"]) is None
    token = await lost(person)
    async with product.socket(keys[0]["secret"]) as socket:
        await run(product, RESET, token=token, newPassword=NEW)
        await socket.receive(timeout=2)
        assert socket.close_code == 4403
    assert [await refusal(product, key["secret"]) for key in keys] == ["UNAUTHENTICATED"] * 2 + [None]
    (entry,) = await rows(person, "resetPassword")
    assert entry["targets"] == [person.user_id, *sorted(key["apiKey"]["id"] for key in keys[:2])]
    listed = (await other.query("{ viewer { apiKeys { nodes { id } } } }"))["viewer"]["apiKeys"]["nodes"]
    assert listed == [{"id": keys[2]["apiKey"]["id"]}]


async def test_api_keys_stay_when_the_password_is_changed_by_whoever_knows_it(product: Product) -> None:
    person = await product.sign_up()
    key = await run(product, CREATE_KEY, person.token, name="server", role="USER")
    await run(product, CHANGE, person.token, currentPassword=PASSWORD, newPassword=NEW)
    assert await refusal(product, key["secret"]) is None


async def test_an_address_is_verified_by_it_and_the_other_links_are_worthless(product: Product) -> None:
    person = await product.sign_up()
    verification = await token_for(product, person.email, "Confirm")
    await run(product, RESET, token=await lost(person), newPassword=NEW)
    session = await product.post(
        "mutation($i: SignInInput!) { signIn(input: $i) { ... on SignInPayload { session { accessToken } } } }",
        {"i": {"email": person.email, "password": NEW}},
    )
    access = session["data"]["signIn"]["session"]["accessToken"]
    assert (await product.post(VERIFIED, token=access))["data"]["viewer"]["user"]["emailVerifiedAt"] is not None
    assert (await run(product, VERIFY, token=verification))["code"] == "INVALID_CREDENTIALS"


async def _expired(person: Person, token: str) -> str:
    await as_owner(
        person.product.settings,
        "UPDATE one_time_tokens SET expires_at = now() WHERE tenant_id = $1",
        person.tenant_id,
    )
    return token


async def _used(person: Person, token: str) -> str:
    assert (await run(person.product, RESET, token=token, newPassword=NEW))["__typename"] == "ResetPasswordPayload"
    return token


async def _replaced(person: Person, token: str) -> str:
    await a_while_later(person)
    assert await lost(person, count=2) != token
    return token


async def _after_a_change(person: Person, token: str) -> str:
    change = "mutation($i: ChangePasswordInput!) { changePassword(input: $i) { __typename } }"
    await person.query(change, i={"currentPassword": PASSWORD, "newPassword": NEW})
    return token


async def _of_somebody_suspended(person: Person, token: str) -> str:
    await as_owner(person.product.settings, "UPDATE users SET suspended_at = now() WHERE email = $1", person.email)
    return token


async def _of_a_suspended_tenant(person: Person, token: str) -> str:
    statement = "UPDATE tenants SET suspended_at = now() WHERE id = $1"
    await as_owner(person.product.settings, statement, person.tenant_id)
    return token


async def _of_another_purpose(person: Person, token: str) -> str:
    return await token_for(person.product, person.email, "Confirm")


async def _of_another_kind_for_the_same_row(person: Person, token: str) -> str:
    row = person.product.services.tokens.read(TokenKind.PASSWORD_RESET, token)
    return person.product.services.tokens.mint(TokenKind.PASSWORD_RESET, row.tenant_id, row.id)[0]


async def _of_a_row_of_another_purpose(person: Person, token: str) -> str:
    """Signed by us, with the hash that is stored, for a row that is about something else."""
    statement = "UPDATE one_time_tokens SET purpose = 'OTHER' WHERE tenant_id = $1 AND purpose = 'PASSWORD_RESET'"
    await as_owner(person.product.settings, statement, person.tenant_id)
    return token


async def _of_another_tenant(person: Person, token: str) -> str:
    """Signed by us, for the right row, in the wrong tenant."""
    other = await person.product.sign_up()
    row = person.product.services.tokens.read(TokenKind.PASSWORD_RESET, token)
    return person.product.services.tokens.mint(TokenKind.PASSWORD_RESET, other.tenant_id, row.id)[0]


async def _never_given_out(person: Person, token: str) -> str:
    return person.product.services.tokens.mint(TokenKind.PASSWORD_RESET, person.tenant_id, new_id())[0]


@pytest.mark.parametrize(
    "spoil",
    [
        *(_expired, _used, _replaced, _after_a_change, _of_somebody_suspended, _of_a_suspended_tenant),
        *(
            _of_another_purpose,
            _of_another_kind_for_the_same_row,
            _of_a_row_of_another_purpose,
            _of_another_tenant,
            _never_given_out,
        ),
    ],
)
async def test_a_link_that_is_not_good_is_refused_alike_and_changes_nothing(
    product: Product, spoil: Callable[[Person, str], Awaitable[str]]
) -> None:
    person = await product.sign_up()
    token = await spoil(person, await lost(person))
    before = await kept(person)
    refused = await run(product, RESET, token=token, newPassword="fjord-unmapped-quilt")
    assert refused == await run(product, RESET, token="nonsense", newPassword="fjord-unmapped-quilt")
    assert refused["code"] == "INVALID_CREDENTIALS"
    assert await kept(person) == before


async def test_a_tampered_link_is_refused_and_the_genuine_one_is_still_good(product: Product) -> None:
    person = await product.sign_up()
    token = await lost(person)
    before = await kept(person)
    for changed in (*tampered(token), token[:-1], token.replace("clq_pr_", "clq_ev_"), "", "x" * 10_000):
        assert (await run(product, RESET, token=changed, newPassword=NEW))["code"] == "INVALID_CREDENTIALS"
    assert await kept(person) == before
    assert (await run(product, RESET, token=token, newPassword=NEW))["__typename"] == "ResetPasswordPayload"


async def test_of_several_who_use_a_link_at_once_one_succeeds(product: Product) -> None:
    person = await product.sign_up()
    token = await lost(person)
    passwords = [f"{NEW}-{number}" for number in range(4)]
    results = await asyncio.gather(*(run(product, RESET, token=token, newPassword=one) for one in passwords))
    kinds = [result["__typename"] for result in results]
    assert sorted(kinds) == ["InvalidCredentials"] * 3 + ["ResetPasswordPayload"]
    chosen = passwords[kinds.index("ResetPasswordPayload")]
    assert [await signs_in(product, person.email, one) for one in passwords] == [one == chosen for one in passwords]


@pytest.mark.parametrize("password", ["short", "x" * 129, "password123", "Example2026!"])
async def test_a_bad_password_does_not_use_the_link_up(product: Product, password: str) -> None:
    person = await product.sign_up()
    token = await lost(person)
    before = await kept(person)
    refused = await run(product, RESET, token=token, newPassword=password)
    assert (refused["code"], refused["field"]) == ("INVALID_INPUT", "newPassword")
    assert await kept(person) == before
    assert (await run(product, RESET, token=token, newPassword=NEW))["__typename"] == "ResetPasswordPayload"


async def test_nobody_gets_a_second_mail_within_a_minute_and_the_first_link_stays_good(product: Product) -> None:
    person = await product.sign_up()
    token = await lost(person)
    before = await kept(person)
    assert await run(product, REQUEST_RESET, email=person.email.upper()) == REQUESTED
    assert await kept(person) == before
    await nothing_waits(product)
    assert len(await letters(product, person.email, LOST)) == 1
    assert (await run(product, RESET, token=token, newPassword=NEW))["__typename"] == "ResetPasswordPayload"


async def test_no_account_is_answered_as_an_account_is_and_nothing_is_written(own_product: Product) -> None:
    suspended, shut_out = await own_product.sign_up(), await own_product.sign_up()
    await nothing_waits(own_product)
    await _of_somebody_suspended(suspended, "")
    await _of_a_suspended_tenant(shut_out, "")
    for email in ("nobody@example.test", "not an address", "", "a\x00b", suspended.email, shut_out.email):
        assert await run(own_product, REQUEST_RESET, email=email) == REQUESTED
    written = "SELECT (SELECT count(*) FROM one_time_tokens WHERE purpose = 'PASSWORD_RESET'), count(*) FROM outbox"
    assert await as_owner(own_product.settings, written) == [(0, 0)]


@pytest.mark.long
async def test_it_takes_the_same_time_with_an_account_and_without(product: Product) -> None:
    people = [await product.sign_up() for _ in range(15)]
    taken: dict[bool, list[float]] = {True: [], False: []}
    for person in people:
        # In turns, so that whatever else the machine does befalls both.
        for exists, email in ((True, person.email), (False, f"{new_id().hex}@example.test")):
            began = time.perf_counter()
            await run(product, REQUEST_RESET, email=email)
            taken[exists].append(time.perf_counter() - began)
    difference = abs(statistics.median(taken[True]) - statistics.median(taken[False]))
    # Sending a mail, or hashing a password, would be 50 ms and more.
    assert difference < 0.02, taken


async def test_only_a_hash_is_stored_and_the_token_is_in_the_fragment(product: Product) -> None:
    person = await product.sign_up()
    await run(product, REQUEST_RESET, email=person.email)
    ((text),) = await letters(product, person.email, LOST)
    page, token = link_in(text)
    assert page == f"{product.url}/account"
    stored = "SELECT token_hash FROM one_time_tokens WHERE tenant_id = $1"
    rows = await as_owner(product.settings, stored, person.tenant_id)
    assert {len(one) for (one,) in rows} == {32}
    assert not any(one in token.encode() for (one,) in rows)


async def test_a_host_header_does_not_say_where_mails_lead_once_public_url_does(settings: Settings) -> None:
    known = settings.model_copy(update={"public_url": "https://colloquy.example"})
    async with running_product(known) as product:
        person = await product.sign_up()
        payload = {"query": REQUEST_RESET, "variables": {"input": {"email": person.email}}}
        async with product.http.post(f"{product.url}/graphql", json=payload, headers={"Host": "evil.test"}) as response:
            assert response.status == 200
        (text,) = await letters(product, person.email, LOST)
    assert link_in(text)[0] == "https://colloquy.example/account"


async def test_mails_that_strangers_cause_are_limited_by_address(settings: Settings) -> None:
    few = settings.model_copy(update={"rate_limit_mails_per_minute": 1, "rate_limit_mails_burst": 2})
    async with running_product(few, worker=False) as product:
        results = [await run(product, REQUEST_RESET, email=f"x{number}@example.test") for number in range(3)]
    assert [one["__typename"] for one in results] == ["RequestPasswordResetPayload"] * 2 + ["RateLimited"]


async def test_a_stranger_neither_floods_a_mailbox_nor_keeps_its_owner_out(product: Product) -> None:
    person = await product.sign_up()
    for _ in range(12):
        assert await run(product, REQUEST_RESET, email=person.email) == REQUESTED
    token = await token_for(product, person.email, LOST)
    await nothing_waits(product)
    assert len(await letters(product, person.email, LOST)) == 1
    assert (await run(product, RESET, token=token, newPassword=NEW))["__typename"] == "ResetPasswordPayload"
