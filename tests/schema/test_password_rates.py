"""Judging a password costs CPU time: how often strangers can have it done."""

from __future__ import annotations

from mailbox import token_for

from accounts import ACCEPT, INVITE, NEW, REQUEST_RESET, RESET, kept, run
from test_request_rates import SIGN_UP, answered, assert_member

from core.settings import Settings
from owner import as_owner, set_verified
from product import PASSWORD, running_product

GUESSED = "password123"


async def test_an_address_has_few_passwords_judged_for_sign_ups(settings: Settings) -> None:
    few = settings.model_copy(update={"rate_limit_sign_up_per_minute": 1, "rate_limit_sign_up_burst": 2})
    async with running_product(few, worker=False) as product:
        values = {"organization": "Org", "name": "Pat", "email": "pat@example.test", "password": GUESSED}
        aliased = " ".join(f"a{n}: signUp(input: $input) {{ ... on UserError {{ code }} }}" for n in range(5))
        _, _, body = await answered(product, f"mutation($input: SignUpInput!) {{ {aliased} }}", input=values)
        assert [one["code"] for one in body["data"].values()] == ["INVALID_INPUT"] * 2 + ["RATE_LIMITED"] * 3
        refused = await answered(product, SIGN_UP, input=values | {"password": PASSWORD})
        assert_member(refused, "signUp", "Too many organisations were founded from here.")
        assert await as_owner(product.settings, "SELECT count(*) FROM tenants") == [(0,)]


async def test_whoever_has_a_link_has_as_many_judged_as_an_address_signs_in(settings: Settings) -> None:
    few = settings.model_copy(update={"rate_limit_sign_in_per_minute": 1, "rate_limit_sign_in_burst": 4})
    async with running_product(few) as product:
        person = await product.sign_up()
        await set_verified(person)
        await run(product, INVITE, person.token, email="ina@example.test", role="USER", name="Ina")
        await run(product, REQUEST_RESET, email=person.email)
        invitation = await token_for(product, "ina@example.test", "You are invited")
        reset = await token_for(product, person.email, "A new password")
        before = await kept(person)

        async def codes(*chosen: str) -> list[str]:
            results = [await run(product, ACCEPT, token=invitation, password=one) for one in chosen]
            results += [await run(product, RESET, token=reset, newPassword=one) for one in chosen]
            return [one["code"] for one in results]

        # What is too short is not judged, and does not count.
        assert await codes("short", GUESSED, GUESSED) == ["INVALID_INPUT"] * 6
        assert await codes(GUESSED, NEW) == ["RATE_LIMITED"] * 4
        assert await kept(person) == before
