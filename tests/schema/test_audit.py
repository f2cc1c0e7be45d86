"""The audit log: what each mutation and each denial leaves in it, and that nothing is changed without."""

from __future__ import annotations

from typing import Any

import pytest
from auditing import lines, outcomes, rows
from graphql import GraphQLObjectType

from core.ids import NodeKind, new_id, to_global
from datastores.tenants import PLATFORM_TENANT
from owner import as_owner, set_role, uuid_of
from product import PASSWORD, START, OperationFailed, Person, Product
from resolvers.administrators import add_administrator, raise_to_administrator
from schema.root import make_schema

SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) { ... on SignInPayload {
  session { accessToken refreshToken } } ... on UserError { code } } }"""
SIGN_UP = "mutation($input: SignUpInput!) { signUp(input: $input) { __typename } }"
REFRESH = "mutation($input: RefreshSessionInput) { refreshSession(input: $input) { __typename } }"
UPDATE = "mutation($input: UpdateMemberInput!) { updateMember(input: $input) { __typename } }"
REMOVE = "mutation($input: RemoveMemberInput!) { removeMember(input: $input) { __typename } }"
REVOKE = "mutation($input: RevokeSessionInput!) { revokeSession(input: $input) { __typename } }"
CREATE_KEY = """mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) {
  ... on CreateApiKeyPayload { secret apiKey { id } } } }"""
SUSPEND = "mutation($input: SuspendTenantInput!) { suspendTenant(input: $input) { __typename } }"
CREATE_TENANT = """mutation($input: CreateTenantInput!) { createTenant(input: $input) {
  ... on CreateTenantPayload { tenant { id } } } }"""
CHANGE = "mutation($input: ChangePasswordInput!) { changePassword(input: $input) { __typename } }"
VIEWER = "{ viewer { user { id } } }"
UPDATED = ("updateMember", "SUCCEEDED", None)


async def sign_in(person: Person, password: str = PASSWORD, token: str | None = None) -> dict[str, Any]:
    """The result of `signIn`."""
    body = await person.product.post(SIGN_IN, {"input": {"email": person.email, "password": password}}, token)
    return body["data"]["signIn"]  # type: ignore[no-any-return]


def code_of(body: dict[str, Any]) -> str:
    """The code of a response's one error."""
    (error,) = body["errors"]
    return error["extensions"]["code"]  # type: ignore[no-any-return]


def test_every_mutation_is_audited() -> None:
    mutations = make_schema()._schema.mutation_type
    assert isinstance(mutations, GraphQLObjectType)
    assert [name for name, field in mutations.fields.items() if not getattr(field.resolve, "audited", False)] == []


async def test_an_entry_says_who_did_what_to_what_and_from_where(product: Product) -> None:
    person = await product.sign_up()
    await person.query(UPDATE, input={"userId": person.user_id, "role": "BUSINESS", "suspended": False})
    assert await rows(person, "updateMember") == [
        {
            "action": "updateMember",
            "outcome": "SUCCEEDED",
            "code": None,
            "actor_id": uuid_of(person.user_id),
            "session_id": person.session_id,
            "api_key_id": None,
            "targets": [person.user_id],
            "details": {"role": "BUSINESS", "suspended": False},
            "address": "127.0.0.1",
        }
    ]


async def test_what_a_mutation_makes_is_named(product: Product) -> None:
    person = await product.sign_up()
    conversation = await person.conversation()
    sent = await person.send(conversation, "What is this?", idempotencyKey="once")
    assert (await person.send(conversation, "What is this?", idempotencyKey="once"))["message"] == sent["message"]
    document = (await person.upload(b"A text that is kept."))["document"]["id"]
    key = (await person.query(CREATE_KEY, input={"name": "x", "role": "USER"}))["createApiKey"]["apiKey"]["id"]
    made = {row["action"]: row["targets"] for row in await rows(person)}
    assert made["startConversation"] == [conversation]
    assert made["uploadDocument"] == [document]
    assert made["createApiKey"] == [key]
    assert made["signUp"][:2] == [to_global(NodeKind.TENANT, person.tenant_id), person.user_id]
    # The second one changed nothing, and is an act all the same.
    asked = [row["targets"] for row in await rows(person, "sendMessage")]
    assert asked == [[conversation, sent["message"]["id"], sent["answer"]["id"]]] * 2


async def test_two_mutations_of_one_request_are_two_entries(product: Product) -> None:
    person = await product.sign_up()
    twice = "mutation { a: signOut { signedOut } b: signOut { signedOut } }"
    await person.query(twice)
    assert await outcomes(person, "signOut") == [("signOut", "SUCCEEDED", None)] * 2


async def test_a_refusal_has_its_code(product: Product) -> None:
    person = await product.sign_up()
    await person.query(REMOVE, input={"userId": person.user_id})
    await person.query(REMOVE, input={"userId": to_global(NodeKind.USER, new_id())})
    await person.query(REMOVE, input={"userId": "nonsense"})
    found = await rows(person, "removeMember")
    assert [(row["outcome"], row["code"]) for row in found] == [
        ("REFUSED", "CONFLICT"),
        ("REFUSED", "NOT_FOUND"),
        ("REFUSED", "INVALID_INPUT"),
    ]
    assert found[2]["targets"] == []  # what is no id of ours may be anything


async def test_what_an_administrator_does_across_organisations_is_in_the_platform_s_log_alone(
    own_product: Product,
) -> None:
    person, other = await own_product.sign_up(), await own_product.sign_up()
    await person.raw(SUSPEND, input={"tenantId": "nonsense"})
    await set_role(person, "ADMIN")
    tenant = to_global(NodeKind.TENANT, other.tenant_id)
    await person.query(SUSPEND, input={"tenantId": tenant})
    values = {"organization": "O", "name": "N", "email": f"{new_id().hex}@example.test"}
    made = (await person.query(CREATE_TENANT, input=values))["createTenant"]["tenant"]["id"]
    await person.query(SUSPEND, input={"tenantId": "nonsense"})
    await person.conversation()
    query = "SELECT action, actor_id, session_id, outcome, targets FROM audit_log WHERE tenant_id = $1 ORDER BY id"
    who = (uuid_of(person.user_id), person.session_id)
    found = await as_owner(own_product.settings, query, PLATFORM_TENANT)
    assert [(*row[:4], row[4][:1]) for row in found] == [
        ("suspendTenant", *who, "SUCCEEDED", [tenant]),
        ("createTenant", *who, "SUCCEEDED", [made]),
        ("suspendTenant", *who, "REFUSED", []),
    ]
    # What it is denied, and does in its own organisation, is that one's.
    assert await outcomes(person) == [
        ("signUp", "SUCCEEDED", None),
        ("suspendTenant", "DENIED", "FORBIDDEN"),
        ("startConversation", "SUCCEEDED", None),
    ]
    assert await outcomes(other) == [("signUp", "SUCCEEDED", None)]


async def test_an_account_that_its_operator_makes_an_administrator_is_an_entry(own_product: Product) -> None:
    person = await own_product.sign_up()
    await raise_to_administrator(own_product.services, person.email)
    (row,) = await rows(person, "addAdministrator")
    assert (row["targets"], row["actor_id"], row["address"]) == ([person.user_id], None, "")
    await add_administrator(own_product.services, email="new@example.test", name="N", password=PASSWORD)
    found = await as_owner(own_product.settings, "SELECT tenant_id FROM audit_log WHERE action = 'addAdministrator'")
    assert found == [(person.tenant_id,), (PLATFORM_TENANT,)]


async def test_wrong_credentials_are_told_to_whom_they_concern(product: Product) -> None:
    person, other = await product.sign_up(), await product.sign_up()
    await sign_in(person, "a wrong password", other.token)
    (row,) = await rows(person, "signIn")
    assert (row["outcome"], row["code"], row["targets"]) == ("DENIED", "INVALID_CREDENTIALS", [person.user_id])
    # Whoever tries is not the person, nor is it this organisation's business whose token came along.
    assert (row["actor_id"], row["session_id"], row["address"]) == (None, None, "127.0.0.1")
    await sign_in(person)
    assert (await rows(person, "signIn"))[1]["actor_id"] == uuid_of(person.user_id)
    assert await rows(other, "signIn") == []
    before = len(await rows(product, "signIn"))
    values = {"email": f"{new_id().hex}@example.test", "password": PASSWORD}
    await product.post(SIGN_IN, {"input": values})
    assert (await outcomes(product, "signIn"))[before:] == [("signIn", "DENIED", "INVALID_CREDENTIALS")]


async def test_a_refresh_token_that_comes_twice_is_an_event_of_its_own(product: Product) -> None:
    person = await product.sign_up()
    token = (await sign_in(person))["session"]["refreshToken"]
    for _ in range(3):
        await product.post(REFRESH, {"input": {"refreshToken": token}})
    found = await rows(person)
    assert [(row["action"], row["outcome"]) for row in found[-3:]] == [
        ("refreshSession", "SUCCEEDED"),
        ("refreshTokenReuse", "DENIED"),
        ("refreshTokenReuse", "DENIED"),
    ]
    assert len({tuple(row["targets"]) for row in found[-3:]}) == 1


async def test_a_token_used_up_in_vain_is_no_success(product: Product) -> None:
    person = await product.sign_up()
    token = (await sign_in(person))["session"]["refreshToken"]
    await as_owner(product.settings, "UPDATE users SET suspended_at = now() WHERE email = $1", person.email)
    await product.post(REFRESH, {"input": {"refreshToken": token}})
    assert await outcomes(person, "refreshSession") == [("refreshSession", "DENIED", "INVALID_CREDENTIALS")]


async def test_an_api_key_is_named_with_the_person_it_acts_for(product: Product) -> None:
    person = await product.sign_up()
    made = (await person.query(CREATE_KEY, input={"name": "x", "role": "USER"}))["createApiKey"]
    program = Person(product, made["secret"], "", "")
    await program.query(START, input={})
    values = {"currentPassword": PASSWORD, "newPassword": "another good password"}
    assert code_of(await program.raw(CHANGE, input=values)) == "FORBIDDEN"
    for row in (await rows(person))[-2:]:
        assert (row["actor_id"], row["session_id"]) == (uuid_of(person.user_id), None)
        assert row["api_key_id"] == uuid_of(made["apiKey"]["id"])


async def test_no_secret_and_nothing_that_somebody_wrote_is_in_the_log_or_the_file(own_product: Product) -> None:
    canary = "canary-7f3a9"
    person = await own_product.sign_up()
    token = (await sign_in(person))["session"]["refreshToken"]
    conversation = await person.conversation()
    await person.send(conversation, f"What is {canary}?", idempotencyKey=canary)
    await person.send(canary, canary)
    await person.query(START, input={"title": canary, "assistantId": canary})
    await person.upload(canary.encode(), f"{canary}.txt")
    secret = (await person.query(CREATE_KEY, input={"name": canary, "role": "USER"}))["createApiKey"]["secret"]
    await sign_in(person, f"{canary} password")
    await person.query(CHANGE, input={"currentPassword": f"{canary} old", "newPassword": f"{canary} new"})
    await person.query(CHANGE, input={"currentPassword": PASSWORD, "newPassword": f"{canary} new"})
    await own_product.post(REFRESH, {"input": {"refreshToken": token}})
    await own_product.post(VIEWER, token=canary)
    table = str(await as_owner(own_product.settings, "SELECT a::text FROM audit_log a"))
    file = str(await lines(own_product))
    for text in (table, file):
        assert "sendMessage" in text
        for never in (canary, token, secret, person.token, PASSWORD, person.email, "Pat"):
            assert never not in text, never


async def test_a_subscription_that_is_denied_is_an_entry(product: Product) -> None:
    person = await product.sign_up()
    await as_owner(product.settings, "UPDATE users SET role = 'USER' WHERE email = $1", person.email)
    await product.services.standings.changed(person.tenant_id, [person.session_id])
    foreign = to_global(NodeKind.ANSWER, new_id())
    with pytest.raises(OperationFailed, match="no such answer"):
        [event async for event in person.follow(foreign)]
    assert await rows(person, "answer") == []  # a missing one is no denial
    async with product.socket(None) as socket:
        query = f'subscription {{ answer(id: "{foreign}") {{ __typename }} }}'
        await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": query}})
        assert (await socket.receive_json())["type"] == "error"
    assert await rows(product, "answer") == []  # nobody, without a token: the file alone
