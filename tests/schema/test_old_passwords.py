"""What was verified with a password that is replaced meanwhile, or for somebody who leaves meanwhile, is worth nothing.

A lock on the person's row stops everybody where their order is decided; they come to it one after the other.
"""

from __future__ import annotations

from mailbox import token_for

import pytest
from accounts import NEW, REQUEST_RESET, RESET, SIGN_IN, refusal, run, signs_in
from turns import held

from owner import as_owner
from product import PASSWORD, Person, Product

CHANGE = """mutation($input: ChangePasswordInput!) { changePassword(input: $input) { __typename
  ... on UserError { code } } }"""
ANOTHER = "walnut-harbour-fiddle"


async def live_sessions(person: Person) -> int:
    """How many sessions the person has."""
    statement = "SELECT count(*) FROM sessions WHERE tenant_id = $1 AND revoked_at IS NULL"
    ((count,),) = await as_owner(person.product.settings, statement, person.tenant_id)
    return int(count)


async def test_who_signs_in_while_the_password_is_changed_stays_out(own_product: Product) -> None:
    person = await own_product.sign_up()
    async with held(person) as turns:
        await turns.comes(CHANGE, person.token, currentPassword=PASSWORD, newPassword=NEW)
        await turns.comes(SIGN_IN, email=person.email, password=PASSWORD)
    changed, signed_in = await turns.results()
    assert changed == {"__typename": "ChangePasswordPayload"}
    assert signed_in == {"__typename": "InvalidCredentials", "code": "INVALID_CREDENTIALS"}
    assert await live_sessions(person) == 1
    assert await signs_in(own_product, person.email, NEW)


async def test_who_signed_in_just_before_the_change_is_signed_out_by_it(own_product: Product) -> None:
    person = await own_product.sign_up()
    async with held(person) as turns:
        await turns.comes(SIGN_IN, email=person.email, password=PASSWORD)
        await turns.comes(CHANGE, person.token, currentPassword=PASSWORD, newPassword=NEW)
    signed_in, changed = await turns.results()
    assert changed == {"__typename": "ChangePasswordPayload"}
    assert await refusal(own_product, signed_in["session"]["accessToken"]) == "UNAUTHENTICATED"
    assert await live_sessions(person) == 1


async def test_who_signs_in_while_the_password_is_reset_stays_out(own_product: Product) -> None:
    person = await own_product.sign_up()
    await run(own_product, REQUEST_RESET, email=person.email)
    token = await token_for(own_product, person.email, "A new password")
    async with held(person) as turns:
        await turns.comes(RESET, token=token, newPassword=NEW)
        await turns.comes(SIGN_IN, email=person.email, password=PASSWORD)
    reset, signed_in = await turns.results()
    assert reset["__typename"] == "ResetPasswordPayload"
    assert signed_in["__typename"] == "InvalidCredentials"
    assert await live_sessions(person) == 0


async def test_the_old_password_does_not_change_the_one_that_was_reset_meanwhile(own_product: Product) -> None:
    person = await own_product.sign_up()
    await run(own_product, REQUEST_RESET, email=person.email)
    token = await token_for(own_product, person.email, "A new password")
    async with held(person) as turns:
        await turns.comes(RESET, token=token, newPassword=NEW)
        await turns.asks(person, CHANGE, input={"currentPassword": PASSWORD, "newPassword": ANOTHER})
    reset, changed = await turns.results()
    assert reset["__typename"] == "ResetPasswordPayload"
    # The password and the session have both ended; where it waited for long, the session is looked at first.
    (code,) = [error["extensions"]["code"] for error in changed.get("errors", ())] or [
        changed["data"]["changePassword"]["code"]
    ]
    assert code in ("INVALID_CREDENTIALS", "UNAUTHENTICATED")
    assert await signs_in(own_product, person.email, NEW)
    assert not await signs_in(own_product, person.email, ANOTHER)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE users SET suspended_at = now() WHERE email = $1", "DELETE FROM users WHERE email = $1"],
    ids=["suspended", "removed"],
)
async def test_who_signs_in_while_they_are_shut_out_stays_out(own_product: Product, statement: str) -> None:
    person = await own_product.sign_up()
    async with held(person, statement) as turns:
        await turns.comes(SIGN_IN, email=person.email, password=PASSWORD)
    assert await turns.results() == [{"__typename": "InvalidCredentials", "code": "INVALID_CREDENTIALS"}]
    assert await live_sessions(person) <= 1
