"""The table of permissions is what happens: every operation, as every role, by an API key and as nobody."""

from __future__ import annotations

import pytest
from as_owner import contents, owner
from callers import CALLERS, DENIALS, Call, Caller, codes, missing_ids, present_ids
from two_tenants import Tenant, World, present

from core.ids import NodeKind, to_global
from product import Product
from resolvers.permissions import Operation


@pytest.fixture
def tenant(world: World, own_product: Product) -> Tenant:
    """The first tenant on the running product."""
    return present(world.first, own_product)


async def audited(product: Product) -> list[tuple[str, str]]:
    """Action and outcome of all entries of the audit log, oldest first."""
    async with owner(product.settings) as connection:
        found = await connection.fetch("SELECT action, outcome FROM audit_log ORDER BY id")
    return [(row["action"], row["outcome"]) for row in found]


def _denied(caller: Caller, operation: Operation) -> bool:
    return not operation.allows(caller.role, api_key=caller.api_key)


@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.name)
async def test_what_the_table_denies_is_refused_and_changes_nothing(tenant: Tenant, caller: Caller) -> None:
    product = tenant.business.product
    async with owner(product.settings) as connection:
        key_id = await connection.fetchval("SELECT id FROM api_keys WHERE tenant_id = $1", tenant.id)
    ids = present_ids(
        tenant, to_global(NodeKind.SESSION, tenant.business.session_id), to_global(NodeKind.API_KEY, key_id)
    )
    token = await caller.token(product, tenant)
    await product.post("{ viewer { user { id } } }", token=token)  # the first use of a key is written down
    before, rows = await contents(product.settings), await audited(product)
    for operation in filter(lambda one: _denied(caller, one), Operation):
        body = await Call.of(operation, ids).answer(product, token)
        if operation.value.field.startswith("Viewer.") and caller.role is None:
            assert body == {"data": {"viewer": None}}, operation
        else:
            assert codes(body) == ["UNAUTHENTICATED" if caller.role is None else "FORBIDDEN"], (operation, body)
        assert await contents(product.settings) == before, operation
        if caller.role is not None or operation.value.is_mutation:
            rows.append((operation.value.name, "DENIED"))
        assert await audited(product) == rows, operation


@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.name)
async def test_what_the_table_allows_is_not_refused(tenant: Tenant, caller: Caller) -> None:
    product = tenant.business.product
    allowed = [operation for operation in Operation if not _denied(caller, operation)]
    assert allowed
    rows = await audited(product)
    for operation in allowed:
        token = await caller.token(product, tenant)
        body = await Call.of(operation, missing_ids(tenant)).answer(product, token)
        assert not set(codes(body)) & {*DENIALS, "INTERNAL", "GRAPHQL_VALIDATION_FAILED"}, (operation, body)
        found = await audited(product)
        added = [action for action, _ in found[len(rows) :]]
        assert added == ([operation.value.name] if operation.value.is_mutation else []), operation
        rows = found
