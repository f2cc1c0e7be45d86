"""Organisations as administrators of the platform found, find, suspend and resume them, and nobody else."""

from __future__ import annotations

from mailbox import token_for
from typing import Any

import accounts
import pytest

from core.ids import NodeKind, new_id, to_global
from owner import as_owner, set_role
from product import PASSWORD, Person, Product

CREATE = """mutation($input: CreateTenantInput!) { createTenant(input: $input) { __typename
  ... on CreateTenantPayload { tenant { id name suspendedAt } user { id name email role suspendedAt } }
  ... on UserError { code message } ... on InvalidInput { field } } }"""
SUSPEND = """mutation($input: SuspendTenantInput!) { suspendTenant(input: $input) { __typename
  ... on SuspendTenantPayload { tenant { id suspendedAt } } ... on UserError { code message } } }"""
RESUME = """mutation($input: ResumeTenantInput!) { resumeTenant(input: $input) { __typename
  ... on ResumeTenantPayload { tenant { id suspendedAt } } ... on UserError { code message } } }"""
TENANTS = """query($name: String, $suspended: Boolean, $first: Int, $after: String) { viewer {
  tenants(name: $name, suspended: $suspended, first: $first, after: $after) {
    nodes { id name suspendedAt createdAt } pageInfo { hasNextPage endCursor } } } }"""
NODE = "query($id: ID!) { node(id: $id) { __typename id ... on Tenant { name suspendedAt } } }"
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) { __typename ... on UserError { code } } }"""


async def administrator(product: Product) -> Person:
    """An administrator of the platform, in a tenant of its own."""
    person = await product.sign_up()
    await set_role(person, "ADMIN")
    return person


async def run(person: Person, mutation: str, **fields: Any) -> dict[str, Any]:
    """The result of a mutation."""
    (result,) = (await person.query(mutation, input=fields)).values()
    return result  # type: ignore[no-any-return]


async def tenant_id(person: Person) -> str:
    """The opaque id of a person's tenant."""
    return to_global(NodeKind.TENANT, person.tenant_id)


async def rows_of_all(product: Product) -> list[tuple[Any, ...]]:
    """What any of these mutations could have changed."""
    return await as_owner(
        product.settings,
        """SELECT (SELECT md5(string_agg(t.xmin::text || t::text, '' ORDER BY id)) FROM tenants t),
                  (SELECT count(*) FROM users), (SELECT count(*) FROM assistants),
                  (SELECT count(*) FROM one_time_tokens),
                  (SELECT count(*) FROM outbox WHERE payload ->> 'subject' = 'Your organisation on Colloquy')""",
    )


async def test_a_founded_tenant_has_a_person_who_manages_it_and_is_told_by_mail(product: Product) -> None:
    admin = await administrator(product)
    email = f"{new_id().hex}@example.test"
    made = await run(admin, CREATE, organization=" Halm & Co ", name=" Ida ", email=email.upper())
    assert made["tenant"]["name"] == "Halm & Co"
    assert made["tenant"]["suspendedAt"] is None
    assert made["user"] | {"id": ""} == {
        "id": "",
        "name": "Ida",
        "email": email,
        "role": "BUSINESS",
        "suspendedAt": None,
    }
    rows = await as_owner(
        product.settings,
        """SELECT t.name, (SELECT count(*) FROM assistants WHERE tenant_id = t.id), u.password_hash
           FROM tenants t JOIN users u ON u.tenant_id = t.id WHERE u.email = $1""",
        email,
    )
    assert [row[:2] for row in rows] == [("Halm & Co", 1)]
    assert rows[0][2].startswith("$argon2id$")
    for password in ("", PASSWORD, "no account has this password"):
        refused = await product.post(SIGN_IN, {"input": {"email": email, "password": password}})
        assert refused["data"]["signIn"]["code"] == "INVALID_CREDENTIALS"


async def test_the_link_in_that_mail_waits_for_the_end_of_a_suspension_and_then_lets_the_person_in(
    product: Product,
) -> None:
    admin, email = await administrator(product), f"{new_id().hex}@example.test"
    made = await run(admin, CREATE, organization="Halm", name="Ida", email=email)
    token = await token_for(product, email, "Your organisation")
    await run(admin, SUSPEND, tenantId=made["tenant"]["id"])
    before = await rows_of_all(product)
    refused = await accounts.run(product, accounts.RESET, token=token, newPassword=accounts.NEW)
    assert refused["code"] == "INVALID_CREDENTIALS"
    assert await rows_of_all(product) == before
    await run(admin, RESUME, tenantId=made["tenant"]["id"])
    assert (await accounts.run(product, accounts.RESET, token=token, newPassword=accounts.NEW))["email"] == email
    assert await accounts.signs_in(product, email, accounts.NEW)


async def test_a_taken_address_or_a_bad_value_founds_nothing(product: Product) -> None:
    admin = await administrator(product)
    good = {"organization": "Org", "name": "Ida", "email": f"{new_id().hex}@example.test"}
    before = await rows_of_all(product)
    assert (await run(admin, CREATE, **good | {"email": admin.email}))["code"] == "CONFLICT"
    for field, bad in (("organization", " "), ("organization", "x" * 201), ("name", "a\nb"), ("email", "nobody")):
        refused = await run(admin, CREATE, **good | {field: bad})
        assert (refused["code"], refused["field"]) == ("INVALID_INPUT", field)
    assert await rows_of_all(product) == before


@pytest.mark.parametrize("role", [None, "USER", "OPERATOR", "BUSINESS"])
async def test_nobody_but_an_administrator_does_any_of_it_and_nothing_changes(
    product: Product, role: str | None
) -> None:
    person, other = await product.sign_up(), await product.sign_up()
    if role not in (None, "BUSINESS"):
        await set_role(person, str(role))
    before = await rows_of_all(product)
    for query, variables in (
        (CREATE, {"input": {"organization": "Org", "name": "Ida", "email": f"{new_id().hex}@example.test"}}),
        (SUSPEND, {"input": {"tenantId": await tenant_id(other)}}),
        (RESUME, {"input": {"tenantId": await tenant_id(other)}}),
        (TENANTS, {}),
    ):
        body = await product.post(query, variables, person.token if role else None)
        if role is None and query == TENANTS:
            assert body == {"data": {"viewer": None}}
            continue
        code = body["errors"][0]["extensions"]["code"]
        assert code == ("FORBIDDEN" if role else "UNAUTHENTICATED")
    assert await rows_of_all(product) == before
    if role:
        assert (await person.query(NODE, id=await tenant_id(other)))["node"] is None


async def test_suspending_and_resuming_twice_is_as_once(product: Product) -> None:
    admin, person = await administrator(product), await product.sign_up()
    wanted = await tenant_id(person)
    first = await run(admin, SUSPEND, tenantId=wanted)
    assert first["tenant"]["id"] == wanted
    assert first["tenant"]["suspendedAt"] is not None
    assert await run(admin, SUSPEND, tenantId=wanted) == first
    assert (await admin.query(NODE, id=wanted))["node"]["suspendedAt"] == first["tenant"]["suspendedAt"]
    for _ in range(2):
        assert (await run(admin, RESUME, tenantId=wanted))["tenant"] == {"id": wanted, "suspendedAt": None}


async def test_an_administrator_suspends_neither_its_own_organisation_nor_one_that_is_not_there(
    product: Product,
) -> None:
    admin = await administrator(product)
    before = await rows_of_all(product)
    assert (await run(admin, SUSPEND, tenantId=await tenant_id(admin)))["code"] == "CONFLICT"
    for mutation in (SUSPEND, RESUME):
        assert (await run(admin, mutation, tenantId=to_global(NodeKind.TENANT, new_id())))["code"] == "NOT_FOUND"
        for wrong in ("nonsense", admin.user_id):
            assert (await run(admin, mutation, tenantId=wrong))["code"] == "INVALID_INPUT"
    assert await rows_of_all(product) == before
    assert "errors" not in await admin.raw("{ viewer { user { id } } }")


async def test_tenants_are_found_by_name_and_suspension_and_paged(product: Product) -> None:
    admin, marked = await administrator(product), new_id().hex
    made = [
        (await run(admin, CREATE, organization=f"Org {marked} {n}%", name="Ida", email=f"{new_id().hex}@example.test"))[
            "tenant"
        ]["id"]
        for n in range(3)
    ]
    await run(admin, SUSPEND, tenantId=made[1])

    async def page(**arguments: Any) -> dict[str, Any]:
        return (await admin.query(TENANTS, **arguments))["viewer"]["tenants"]  # type: ignore[no-any-return]

    async def found(**arguments: Any) -> list[str]:
        return [node["id"] for node in (await page(**arguments))["nodes"]]

    assert await found(name=marked.upper()) == made[::-1]
    assert await found(name=marked, suspended=True) == [made[1]]
    assert await found(name=marked, suspended=False) == [made[2], made[0]]
    assert await found(name=f"{marked} 0%") == [made[0]]
    assert await found(name=f"{marked}%0") == []
    begin = await page(name=marked, first=2)
    assert ([node["id"] for node in begin["nodes"]], begin["pageInfo"]["hasNextPage"]) == ([made[2], made[1]], True)
    assert await found(name=marked, first=2, after=begin["pageInfo"]["endCursor"]) == [made[0]]
    assert (await admin.raw(TENANTS, name="\0"))["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_an_administrator_reads_no_other_organisation_s_conversations_and_documents(product: Product) -> None:
    admin, person = await administrator(product), await product.sign_up()
    document = (await person.upload(b"Nobody else's.", "own.txt"))["document"]["id"]
    for own in (document, await person.conversation(), person.user_id):
        assert (await person.query(NODE, id=own))["node"]["id"] == own
        assert (await admin.query(NODE, id=own))["node"] is None
    assert (await admin.query("{ viewer { documents { nodes { id } } conversations { nodes { id } } } }"))[
        "viewer"
    ] == {"documents": {"nodes": []}, "conversations": {"nodes": []}}
