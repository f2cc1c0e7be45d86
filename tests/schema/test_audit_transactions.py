"""The audit log's rows are in the transactions of what they tell of: nothing is changed without."""

from __future__ import annotations

from typing import Any

import pytest
from accounts import REQUEST_RESET
from auditing import outcomes
from sqlalchemy import event
from statements import counted

from core.ids import NodeKind, new_id, to_global
from owner import as_owner, kept_files
from product import PASSWORD, START, Product

SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) { ... on SignInPayload {
  session { accessToken refreshToken } } ... on UserError { code } } }"""
SIGN_UP = "mutation($input: SignUpInput!) { signUp(input: $input) { __typename } }"
REVOKE = "mutation($input: RevokeSessionInput!) { revokeSession(input: $input) { __typename } }"
CREATE_KEY = """mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) {
  ... on CreateApiKeyPayload { secret apiKey { id } } } }"""
VIEWER = "{ viewer { user { id } } }"
CHANGED_ROWS = """SELECT count(*) FROM audit_log a JOIN conversations c ON a.xmin = c.xmin AND a.tenant_id = c.tenant_id
  WHERE a.tenant_id = $1 AND a.action = 'startConversation'"""


def code_of(body: dict[str, Any]) -> str:
    """The code of a response's one error."""
    (error,) = body["errors"]
    return error["extensions"]["code"]  # type: ignore[no-any-return]


async def test_a_change_and_its_entry_are_one_transaction(product: Product) -> None:
    person = await product.sign_up()
    await person.conversation()
    assert await as_owner(product.settings, CHANGED_ROWS, person.tenant_id) == [(1,)]


async def test_a_lost_password_s_entry_is_in_one_transaction_with_the_same_statements_for_everybody(
    product: Product,
) -> None:
    person = await product.sign_up()
    await product.services.supervisor.idle()
    engine, runs = product.services.postgres._platform.sync_engine, list[list[str]]()

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "purpose" in statement or "one_time_tokens" in statement or "audit_log" in statement:
            runs[-1].append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        for email in (person.email, f"{new_id().hex}@example.test"):
            runs.append([])
            assert "errors" not in await product.post(REQUEST_RESET, {"input": {"email": email}})
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert ["INSERT INTO audit_log" in statement for statement in runs[0]].count(True) == 1
    # The worker beside us opens the door, too, and writes to neither table.
    doors = [[statement for statement in run if "set_config" not in statement] for run in runs]
    assert doors[0] == doors[1]
    together = """SELECT count(*)
      FROM audit_log a JOIN one_time_tokens t ON a.xmin = t.xmin AND a.tenant_id = t.tenant_id
      WHERE a.tenant_id = $1 AND a.action = 'requestPasswordReset'"""
    assert await as_owner(product.settings, together, person.tenant_id) == [(1,)]


async def test_an_entry_costs_one_statement(product: Product) -> None:
    person = await product.sign_up()
    await person.query(VIEWER)
    for mutation, values in (
        (START, {}),
        (REVOKE, {"sessionId": to_global(NodeKind.SESSION, new_id())}),  # changes nothing
    ):
        async with counted(product) as statements:
            await person.query(mutation, input=values)
        assert sum("INSERT INTO audit_log" in statement for statement in statements) == 1
        assert len(statements) == 4


@pytest.mark.parametrize("role", ["colloquy_app", "colloquy_platform"])
async def test_without_its_entry_nothing_is_changed(own_product: Product, role: str) -> None:
    person = await own_product.sign_up()
    tables = ["users", "tenants", "sessions", "conversations", "documents", "api_keys", "one_time_tokens"]
    columns = ", ".join(f"(SELECT json_agg({table} ORDER BY id) FROM {table})::text" for table in tables)
    before = await as_owner(own_product.settings, f"SELECT {columns}")
    await as_owner(own_product.settings, f"REVOKE ALL ON audit_log FROM {role}")
    if role == "colloquy_app":
        for query, values in (
            (START, {}),
            (CREATE_KEY, {"name": "x", "role": "USER"}),
            (REVOKE, {"sessionId": to_global(NodeKind.SESSION, new_id())}),
            (SIGN_IN, {"email": person.email, "password": PASSWORD}),
        ):
            assert code_of(await person.raw(query, input=values)) == "INTERNAL", query
        body = await own_product.upload_raw(person.token, b"Nobody will know of it.", "x.txt")
        assert code_of(body) == "INTERNAL"
        assert kept_files(own_product) == []
    else:
        values = {"organization": "O", "name": "N", "email": "new@example.test", "password": PASSWORD}
        assert code_of(await own_product.post(SIGN_UP, {"input": values})) == "INTERNAL"
        assert code_of(await own_product.post(REQUEST_RESET, {"input": {"email": person.email}})) == "INTERNAL"
    assert await as_owner(own_product.settings, f"SELECT {columns}") == before


async def test_a_fault_of_ours_is_an_entry_too(own_product: Product) -> None:
    person = await own_product.sign_up()
    await as_owner(own_product.settings, "REVOKE INSERT ON conversations FROM colloquy_app")
    assert code_of(await person.raw(START, input={})) == "INTERNAL"
    assert await outcomes(person, "startConversation") == [("startConversation", "FAILED", "INTERNAL")]


async def test_what_was_undone_within_its_transaction_is_no_success(product: Product) -> None:
    person, before = await product.sign_up(), await outcomes(product, "signUp")
    values = {"organization": "O", "name": "N", "email": person.email, "password": PASSWORD}
    assert await product.post(SIGN_UP, {"input": values}) == {"data": {"signUp": {"__typename": "Conflict"}}}
    assert await outcomes(product, "signUp") == [*before, ("signUp", "REFUSED", "CONFLICT")]
