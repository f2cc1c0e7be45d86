"""Several mutations of one operation: each is done by whom its sender is then."""

from __future__ import annotations

import asyncio

from test_access import colleague

from datastores.models import Role
from owner import as_owner, set_role
from product import Product

KEY = """createApiKey(input: { name: "k", role: BUSINESS }) {
  __typename ... on CreateApiKeyPayload { secret } ... on UserError { code message } }"""
SLOW = """%s: changePassword(input: { currentPassword: "not the password", newPassword: "kestrel over gorse" }) {
  __typename }"""


async def test_who_has_signed_out_does_nothing_more(product: Product) -> None:
    person = await product.sign_up()
    body = await person.raw("mutation { signOutEverywhere { __typename } " + KEY + " }")
    assert [error["extensions"]["code"] for error in body["errors"]] == ["UNAUTHENTICATED"]
    assert await as_owner(product.settings, "SELECT 1 FROM api_keys WHERE tenant_id = $1", person.tenant_id) == []


async def test_who_has_given_up_a_role_does_not_use_it_again(product: Product) -> None:
    person = await product.sign_up()
    await colleague(person, Role.BUSINESS)
    me = (await person.query("{ viewer { user { id } } }"))["viewer"]["user"]["id"]
    body = await person.raw(
        "mutation($me: ID!) { updateMember(input: { userId: $me, role: USER }) { __typename } " + KEY + " }", me=me
    )
    assert body["data"] is None, "createApiKey is not nullable, and nothing of it was done"
    assert [error["extensions"]["code"] for error in body["errors"]] == ["FORBIDDEN"]
    assert await as_owner(product.settings, "SELECT 1 FROM api_keys WHERE tenant_id = $1", person.tenant_id) == []


async def test_who_loses_a_role_meanwhile_does_the_rest_without_it(own_product: Product) -> None:
    person = await own_product.sign_up()
    names = [f"p{number}" for number in range(6)]
    sending = asyncio.create_task(person.raw("mutation { " + " ".join(SLOW % name for name in names) + KEY + " }"))
    tried = "SELECT count(*) >= 1 FROM audit_log WHERE action = 'changePassword'"
    while await as_owner(own_product.settings, tried) != [(True,)]:  # noqa: ASYNC110 - it happens in the product
        await asyncio.sleep(0.01)
    await set_role(person, "USER")
    body = await sending
    assert "FORBIDDEN" in [error["extensions"]["code"] for error in body["errors"]]
    assert await as_owner(own_product.settings, "SELECT count(*) FROM api_keys") == [(0,)]
