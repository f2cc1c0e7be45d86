"""Whether an address is its person's, and who is told."""

from __future__ import annotations

import asyncio
from mailbox import a_while_later, letters, nothing_waits, token_for

import pytest
from accounts import ASK_AGAIN, INVITE, VERIFIED, VERIFY, kept, run, tampered
from test_access import colleague

from core.ids import new_id
from core.opaque_tokens import TokenKind
from datastores.models import Role
from owner import as_owner, set_verified
from product import Person, Product

CONFIRM = "Confirm"
USER = "query($id: ID!) { node(id: $id) { ... on User { emailVerifiedAt } } }"


async def is_verified(person: Person) -> bool:
    """As the person is told."""
    return (await person.query(VERIFIED))["viewer"]["user"]["emailVerifiedAt"] is not None


async def test_the_mail_of_a_sign_up_verifies_the_address_once(product: Product) -> None:
    person = await product.sign_up()
    assert not await is_verified(person)
    token = await token_for(product, person.email, CONFIRM)
    assert await run(product, VERIFY, token=token) == {"__typename": "VerifyEmailPayload", "email": person.email}
    assert await is_verified(person), "the session remembers nothing old"
    before = await kept(person)
    assert (await run(product, VERIFY, token=token))["code"] == "INVALID_CREDENTIALS"
    assert await kept(person) == before


async def test_asking_again_replaces_the_link_and_is_possible_once_a_minute(product: Product) -> None:
    person = await product.sign_up()
    first = await token_for(product, person.email, CONFIRM)
    assert (await run(product, ASK_AGAIN, person.token))["code"] == "CONFLICT"
    await a_while_later(person)
    assert (await run(product, ASK_AGAIN, person.token))["email"] == person.email
    second = await token_for(product, person.email, CONFIRM, count=2)
    assert (await run(product, VERIFY, token=first))["code"] == "INVALID_CREDENTIALS"
    assert not await is_verified(person)
    assert (await run(product, VERIFY, token=second))["__typename"] == "VerifyEmailPayload"
    before = await kept(person)
    assert (await run(product, ASK_AGAIN, person.token))["code"] == "CONFLICT"
    assert await kept(person) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE one_time_tokens SET expires_at = now() WHERE tenant_id = $1",
        "UPDATE users SET suspended_at = now() WHERE tenant_id = $1",
        "UPDATE tenants SET suspended_at = now() WHERE id = $1",
        "DELETE FROM users WHERE tenant_id = $1",
    ],
)
async def test_a_link_whose_time_or_person_is_gone_is_refused_and_changes_nothing(
    product: Product, statement: str
) -> None:
    person = await product.sign_up()
    token = await token_for(product, person.email, CONFIRM)
    await as_owner(product.settings, statement, person.tenant_id)
    before = await kept(person)
    assert await run(product, VERIFY, token=token) == await run(product, VERIFY, token="nonsense")
    assert await kept(person) == before


async def test_a_tampered_a_foreign_or_another_link_is_refused_and_changes_nothing(product: Product) -> None:
    person, other = await product.sign_up(), await product.sign_up()
    token = await token_for(product, person.email, CONFIRM)
    services, before = product.services, await kept(person)
    row = services.tokens.read(TokenKind.EMAIL_VERIFICATION, token)
    for changed in (
        *tampered(token),
        services.tokens.mint(TokenKind.EMAIL_VERIFICATION, other.tenant_id, row.id)[0],
        services.tokens.mint(TokenKind.EMAIL_VERIFICATION, row.tenant_id, row.id)[0],
        services.tokens.mint(TokenKind.EMAIL_VERIFICATION, row.tenant_id, new_id())[0],
        services.tokens.mint(TokenKind.PASSWORD_RESET, row.tenant_id, row.id)[0],
    ):
        assert (await run(product, VERIFY, token=changed))["code"] == "INVALID_CREDENTIALS"
    assert await kept(person) == before
    assert not await is_verified(person)


async def test_of_several_who_use_a_link_at_once_one_succeeds(product: Product) -> None:
    person = await product.sign_up()
    token = await token_for(product, person.email, CONFIRM)
    results = await asyncio.gather(*(run(product, VERIFY, token=token) for _ in range(4)))
    assert sorted(one["__typename"] for one in results) == ["InvalidCredentials"] * 3 + ["VerifyEmailPayload"]


async def test_who_has_not_verified_the_address_invites_nobody(product: Product) -> None:
    person = await product.sign_up()
    before, fields = await kept(person), {"email": f"{new_id().hex}@example.test", "role": "USER"}
    assert (await run(product, INVITE, person.token, **fields))["code"] == "CONFLICT"
    assert await kept(person) == before
    await nothing_waits(product)
    await run(product, VERIFY, token=await token_for(product, person.email, CONFIRM))
    assert (await run(product, INVITE, person.token, **fields))["__typename"] == "InviteMemberPayload"


async def test_it_is_seen_by_the_person_and_by_those_who_manage_members(product: Product) -> None:
    person = await product.sign_up()
    await set_verified(person)
    operator, manager = await colleague(person, Role.OPERATOR), await colleague(person, Role.BUSINESS)
    assert (await operator.query(USER, id=person.user_id))["node"]["emailVerifiedAt"] is None
    for reader in (person, manager):
        assert (await reader.query(USER, id=person.user_id))["node"]["emailVerifiedAt"] is not None


async def test_nobody_asks_for_a_mail_without_being_signed_in(product: Product) -> None:
    body = await product.post(ASK_AGAIN)
    assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_the_mail_says_who_caused_it_and_what_to_do(product: Product) -> None:
    person = await product.sign_up()
    (text,) = await letters(product, person.email, CONFIRM)
    assert "signed up for Colloquy with this address" in text
    assert "If it was not you" in text
