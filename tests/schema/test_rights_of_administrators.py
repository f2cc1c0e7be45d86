"""Administrators of the platform whose rights end while they wait for what they suspend, resume or found."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from test_access import code_of, colleague
from test_tenants import CREATE, RESUME, SUSPEND, administrator, tenant_id
from turns import Turns, held

from datastores.models import Role
from owner import as_owner, set_role
from product import Person, Product

ALL_TENANTS = "SELECT FROM tenants WHERE $1::text <> '' FOR UPDATE"
TENANT = "SELECT FROM tenants WHERE id = (SELECT tenant_id FROM users WHERE email = $1) FOR UPDATE"


async def suspended(product: Product) -> set[object]:
    """The organisations that are."""
    return {row[0] for row in await as_owner(product.settings, "SELECT id FROM tenants WHERE suspended_at IS NOT NULL")}


async def suspends(turns: Turns, person: Person, other: Person, mutation: str = SUSPEND) -> None:
    await turns.asks(person, mutation, input={"tenantId": await tenant_id(other)})


@pytest.mark.parametrize("first", [0, 1])
async def test_of_two_who_suspend_each_other_s_organisation_one_is_left(own_product: Product, first: int) -> None:
    people = [await administrator(own_product), await administrator(own_product)]
    one, other = people[first], people[1 - first]
    async with held(one, ALL_TENANTS) as turns:
        await suspends(turns, one, other)
        await suspends(turns, other, one)
    results = await turns.results()
    assert [code_of(body) for body in results] == [None, "UNAUTHENTICATED"]
    assert results[1]["errors"][0]["message"] == "This organisation is suspended."
    assert await suspended(own_product) == {other.tenant_id}


async def test_nobody_resumes_their_own_organisation_behind_its_suspension(own_product: Product) -> None:
    one, other = await administrator(own_product), await administrator(own_product)
    async with held(other, TENANT) as turns:
        await suspends(turns, one, other)
        await suspends(turns, other, other, RESUME)
    assert [code_of(body) for body in await turns.results()] == [None, "UNAUTHENTICATED"]
    assert await suspended(own_product) == {other.tenant_id}


@pytest.mark.parametrize("mutation", [SUSPEND, RESUME])
async def test_who_is_demoted_while_they_wait_for_an_organisation_leaves_it_as_it_is(
    own_product: Product, mutation: str
) -> None:
    chief, target = await administrator(own_product), await own_product.sign_up()
    await colleague(chief, Role.ADMIN)
    before = {target.tenant_id} if mutation == RESUME else set()
    if before:
        await as_owner(own_product.settings, "UPDATE tenants SET suspended_at = now() WHERE id = $1", target.tenant_id)
    async with held(target, TENANT) as turns:
        await suspends(turns, chief, target, mutation)
        await set_role(chief, "BUSINESS")
    assert [code_of(body) for body in await turns.results()] == ["FORBIDDEN"]
    assert await suspended(own_product) == before


async def test_who_is_demoted_while_they_found_an_organisation_founds_none(own_product: Product) -> None:
    chief = await administrator(own_product)
    connection = await asyncpg.connect(own_product.settings.database_owner_url)
    try:
        async with held(chief, "SELECT $1::text") as turns:
            taking = connection.transaction()
            await taking.start()
            # Somebody else takes the address, and then does not.
            await connection.execute(
                "INSERT INTO users (tenant_id, id, email, name, role, password_hash) "
                "SELECT tenant_id, gen_random_uuid(), 'nora@example.test', 'N', 'USER', 'x' FROM users"
            )
            founding = {"organization": "New", "name": "Nora", "email": "nora@example.test"}
            await turns.asks(chief, CREATE, input=founding)
            await set_role(chief, "BUSINESS")
            await taking.rollback()
    finally:
        await connection.close()
    async with asyncio.timeout(10):
        assert [code_of(body) for body in await turns.results()] == ["FORBIDDEN"]
    assert await as_owner(own_product.settings, "SELECT 1 FROM tenants WHERE name = 'New'") == []
