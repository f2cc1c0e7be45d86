"""Nobody's mailbox is flooded by us: how many mails go to one address."""

from __future__ import annotations

from mailbox import a_while_later

from accounts import ASK_AGAIN, INVITE, kept, run

from owner import set_verified
from product import Product

MAILS = 10


async def test_an_organisation_invites_one_address_ten_times_a_day_whoever_asks(product: Product) -> None:
    person, other = await product.sign_up(), await product.sign_up()
    await set_verified(person)
    await set_verified(other)
    values = {"email": "ina@example.test", "role": "USER"}
    for _ in range(MAILS):
        assert (await run(product, INVITE, person.token, **values))["__typename"] == "InviteMemberPayload"
    before = await kept(person)
    refused = await run(product, INVITE, person.token, email=" INA@example.test", role="USER")
    assert refused["code"] == "RATE_LIMITED"
    assert refused["message"].startswith("Too many mails to this address. Try again in ")
    assert await kept(person) == before
    # Another address may be asked, and another organisation does not learn whom this one has invited.
    another = await run(product, INVITE, person.token, email="ole@example.test", role="USER")
    assert another["__typename"] == "InviteMemberPayload"
    assert (await run(product, INVITE, other.token, **values))["__typename"] == "InviteMemberPayload"


async def test_who_signed_up_with_somebody_else_s_address_has_few_mails_sent_there(product: Product) -> None:
    person = await product.sign_up()
    for _ in range(MAILS):
        await a_while_later(person)
        result = await run(product, ASK_AGAIN, person.token)
        assert result["__typename"] == "RequestEmailVerificationPayload"
    await a_while_later(person)
    before = await kept(person)
    assert (await run(product, ASK_AGAIN, person.token))["code"] == "RATE_LIMITED"
    assert await kept(person) == before
