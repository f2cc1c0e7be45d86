"""Members, API keys, sessions and passwords: who may change what, and that it counts at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.ids import NodeKind, new_id, to_global
from core.security import hash_password
from core.settings import Settings
from datastores.models import Role
from datastores.people import add_user
from datastores.postgres import Purpose
from owner import as_owner, set_role
from product import PASSWORD, OperationFailed, Person, Product, running_product

UPDATE = """mutation($input: UpdateMemberInput!) { updateMember(input: $input) { __typename
  ... on UpdateMemberPayload { user { id role suspendedAt } } ... on UserError { code message } } }"""
REMOVE = """mutation($input: RemoveMemberInput!) { removeMember(input: $input) { __typename
  ... on RemoveMemberPayload { userId } ... on UserError { code message } } }"""
CREATE_KEY = """mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { __typename
  ... on CreateApiKeyPayload { secret apiKey { id name role hint lastUsedAt } } ... on UserError { code message } } }"""
REVOKE_KEY = """mutation($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) { __typename
  ... on RevokeApiKeyPayload { apiKey { id } } ... on UserError { code message } } }"""
REVOKE_SESSION = """mutation($input: RevokeSessionInput!) { revokeSession(input: $input) { __typename
  ... on RevokeSessionPayload { sessionId } ... on UserError { code message } } }"""
CHANGE = """mutation($input: ChangePasswordInput!) { changePassword(input: $input) { __typename
  ... on ChangePasswordPayload { user { id } } ... on UserError { code message } } }"""
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) { __typename
  ... on SignInPayload { session { accessToken user { id } } } ... on UserError { code message } } }"""
MEMBERS = "{ viewer { members { nodes { id email role } } } }"
SESSIONS = "{ viewer { sessions { nodes { id device address current } } } }"
KEYS = "{ viewer { apiKeys { nodes { id name role hint lastUsedAt } } } }"
VIEWER = "{ viewer { user { email role } } }"


async def sign_in(product: Product, email: str, password: str = PASSWORD) -> dict[str, Any]:
    """The result of `signIn`."""
    body = await product.post(SIGN_IN, {"input": {"email": email, "password": password}})
    return body["data"]["signIn"]  # type: ignore[no-any-return]


async def colleague(person: Person, role: Role = Role.USER) -> Person:
    """Somebody else of the same tenant, signed in."""
    product = person.product
    email = f"{new_id().hex}@example.test"
    async with product.services.postgres.platform(Purpose.SIGN_UP) as tx:
        await add_user(tx, person.tenant_id, name="Uma", email=email, password_hash=hash_password(PASSWORD), role=role)
    session = (await sign_in(product, email))["session"]
    return Person(product, session["accessToken"], email, session["user"]["id"])


async def run(person: Person, mutation: str, **fields: Any) -> dict[str, Any]:
    """The result of a mutation."""
    (result,) = (await person.query(mutation, input=fields)).values()
    return result  # type: ignore[no-any-return]


def code_of(body: dict[str, Any]) -> str | None:
    """Why an operation was refused; None when it was not."""
    return body["errors"][0]["extensions"]["code"] if body.get("errors") else None


async def test_members_are_listed_for_those_who_manage_them(product: Product) -> None:
    person = await product.sign_up()
    user = await colleague(person)
    nodes = (await person.query(MEMBERS))["viewer"]["members"]["nodes"]
    assert [(node["id"], node["role"]) for node in nodes] == [(person.user_id, "BUSINESS"), (user.user_id, "USER")]
    assert code_of(await user.raw(MEMBERS)) == "FORBIDDEN"


async def test_a_new_role_counts_with_the_next_operation(product: Product) -> None:
    person = await product.sign_up()
    user = await colleague(person)
    assert (await user.query(VIEWER))["viewer"]["user"]["role"] == "USER"
    result = await run(person, UPDATE, userId=user.user_id, role="BUSINESS")
    assert result["user"] == {"id": user.user_id, "role": "BUSINESS", "suspendedAt": None}
    assert (await user.query(VIEWER))["viewer"]["user"]["role"] == "BUSINESS"
    await run(person, UPDATE, userId=user.user_id, role="USER")
    assert code_of(await user.raw(MEMBERS)) == "FORBIDDEN"


async def test_a_suspended_member_is_out_until_readmitted(product: Product) -> None:
    person = await product.sign_up()
    user = await colleague(person)
    await user.query(VIEWER)
    assert (await run(person, UPDATE, userId=user.user_id, suspended=True))["user"]["suspendedAt"] is not None
    assert code_of(await user.raw(VIEWER)) == "UNAUTHENTICATED"
    assert (await sign_in(product, user.email))["code"] == "INVALID_CREDENTIALS"
    assert (await run(person, UPDATE, userId=user.user_id, suspended=False))["user"]["suspendedAt"] is None
    assert code_of(await user.raw(VIEWER)) is None
    assert (await sign_in(product, user.email))["__typename"] == "SignInPayload"


async def test_a_removed_member_is_gone_with_what_was_theirs(product: Product) -> None:
    person = await product.sign_up()
    user = await colleague(person)
    await user.conversation()
    assert await run(person, REMOVE, userId=user.user_id) == {
        "__typename": "RemoveMemberPayload",
        "userId": user.user_id,
    }
    assert code_of(await user.raw(VIEWER)) == "UNAUTHENTICATED"
    assert (await sign_in(product, user.email))["code"] == "INVALID_CREDENTIALS"
    rows = await as_owner(product.settings, "SELECT count(*) FROM conversations WHERE tenant_id = $1", person.tenant_id)
    assert rows == [(0,)]


async def test_the_last_who_can_manage_the_organisation_stays(product: Product) -> None:
    person = await product.sign_up()
    await colleague(person)
    for mutation, fields in ((UPDATE, {"role": "USER"}), (UPDATE, {"suspended": True}), (REMOVE, {})):
        assert (await run(person, mutation, userId=person.user_id, **fields))["code"] == "CONFLICT"
    other = await colleague(person, Role.BUSINESS)
    await run(person, UPDATE, userId=other.user_id, suspended=True)
    assert (await run(person, UPDATE, userId=person.user_id, role="USER"))["code"] == "CONFLICT"
    await run(person, UPDATE, userId=other.user_id, suspended=False)
    assert (await run(person, UPDATE, userId=person.user_id, role="USER"))["user"]["role"] == "USER"


async def test_nobody_gives_a_role_stronger_than_their_own(product: Product) -> None:
    person = await product.sign_up()
    user = await colleague(person)
    assert (await run(person, UPDATE, userId=user.user_id, role="ADMIN"))["code"] == "INVALID_INPUT"
    assert (await run(person, CREATE_KEY, name="x", role="ADMIN"))["code"] == "INVALID_INPUT"
    admin = await colleague(person, Role.ADMIN)
    assert (await run(person, REMOVE, userId=admin.user_id))["code"] == "CONFLICT"
    assert (await admin.query(VIEWER))["viewer"]["user"]["role"] == "ADMIN"


@pytest.mark.parametrize("role", ["USER", "OPERATOR"])
async def test_a_weaker_role_manages_nobody_and_changes_nothing(product: Product, role: str) -> None:
    person = await product.sign_up()
    user = await colleague(person)
    await set_role(user, role)
    for mutation, fields in (
        (UPDATE, {"userId": user.user_id, "role": "BUSINESS"}),
        (REMOVE, {"userId": person.user_id}),
        (CREATE_KEY, {"name": "x", "role": "USER"}),
        (REVOKE_KEY, {"apiKeyId": to_global(NodeKind.API_KEY, new_id())}),
    ):
        assert code_of(await user.raw(mutation, input=fields)) == "FORBIDDEN"
    assert code_of(await user.raw(KEYS)) == "FORBIDDEN"
    nodes = (await person.query(MEMBERS))["viewer"]["members"]["nodes"]
    assert [node["role"] for node in nodes] == ["BUSINESS", role]
    assert (await person.query(KEYS))["viewer"]["apiKeys"]["nodes"] == []


async def test_foreign_ids_are_answered_like_missing_ones_and_change_nothing(product: Product) -> None:
    mine, theirs = await product.sign_up(), await product.sign_up()
    key = (await run(theirs, CREATE_KEY, name="theirs", role="USER"))["apiKey"]["id"]
    session = (await theirs.query(SESSIONS))["viewer"]["sessions"]["nodes"][0]["id"]
    for mutation, name, kind, foreign in (
        (UPDATE, "userId", NodeKind.USER, theirs.user_id),
        (REMOVE, "userId", NodeKind.USER, theirs.user_id),
        (REVOKE_KEY, "apiKeyId", NodeKind.API_KEY, key),
        (REVOKE_SESSION, "sessionId", NodeKind.SESSION, session),
    ):
        answers = [await run(mine, mutation, **{name: one}) for one in (foreign, to_global(kind, new_id()))]
        assert answers[0] == answers[1]
        assert answers[0]["code"] == "NOT_FOUND"
        assert (await run(mine, mutation, **{name: "nonsense"}))["code"] == "INVALID_INPUT"
    assert (await theirs.query(VIEWER))["viewer"]["user"]["role"] == "BUSINESS"
    assert [one["id"] for one in (await theirs.query(KEYS))["viewer"]["apiKeys"]["nodes"]] == [key]


async def test_a_key_signs_a_program_in_until_it_is_revoked(product: Product) -> None:
    person = await product.sign_up()
    made = await run(person, CREATE_KEY, name="importer", role="BUSINESS")
    key, secret = made["apiKey"], made["secret"]
    assert (key["name"], key["role"], key["hint"], key["lastUsedAt"]) == ("importer", "BUSINESS", secret[-4:], None)
    program = Person(product, secret, person.email, person.user_id)
    assert (await program.query(VIEWER))["viewer"]["user"] == {"email": person.email, "role": "BUSINESS"}
    await program.ready_document(b"A document that a program has uploaded.")
    listed = (await person.query(KEYS))["viewer"]["apiKeys"]["nodes"][0]
    assert listed["lastUsedAt"] is not None
    assert (await run(person, REVOKE_KEY, apiKeyId=key["id"]))["apiKey"]["id"] == key["id"]
    assert code_of(await program.raw(VIEWER)) == "UNAUTHENTICATED"
    assert (await person.query(KEYS))["viewer"]["apiKeys"]["nodes"] == []
    assert (await run(person, REVOKE_KEY, apiKeyId=key["id"]))["code"] == "NOT_FOUND"


async def test_a_person_has_so_many_keys_and_a_revoked_one_makes_room(settings: Settings) -> None:
    few = settings.model_copy(update={"api_keys_per_person": 2})
    async with running_product(few, worker=False) as product:
        person = await product.sign_up()
        other = await colleague(person, Role.BUSINESS)
        made = await asyncio.gather(*(run(person, CREATE_KEY, name="x", role="USER") for _ in range(5)))
        keys = [one["apiKey"] for one in made if one["__typename"] == "CreateApiKeyPayload"]
        refused = {"__typename": "Conflict", "code": "CONFLICT"}
        refused["message"] = "You have 2 API keys, the most allowed. Revoke one first."
        assert [one for one in made if one["__typename"] != "CreateApiKeyPayload"] == [refused] * 3
        assert len((await person.query(KEYS))["viewer"]["apiKeys"]["nodes"]) == len(keys) == 2
        assert (await run(other, CREATE_KEY, name="x", role="USER"))["__typename"] == "CreateApiKeyPayload"
        await run(person, REVOKE_KEY, apiKeyId=keys[0]["id"])
        assert (await run(person, CREATE_KEY, name="x", role="USER"))["__typename"] == "CreateApiKeyPayload"
        assert await run(person, CREATE_KEY, name="x", role="USER") == refused


async def test_a_key_may_do_what_its_role_may_and_no_more_than_its_maker(product: Product) -> None:
    person = await product.sign_up()
    other = await colleague(person, Role.BUSINESS)
    weak = await run(person, CREATE_KEY, name="reader", role="USER")
    assert code_of(await Person(product, weak["secret"], "", "").raw(MEMBERS)) == "FORBIDDEN"
    strong = Person(product, (await run(other, CREATE_KEY, name="strong", role="BUSINESS"))["secret"], "", "")
    assert code_of(await strong.raw(MEMBERS)) is None
    await run(person, UPDATE, userId=other.user_id, role="USER")
    assert code_of(await strong.raw(MEMBERS)) == "FORBIDDEN"
    await run(person, UPDATE, userId=other.user_id, suspended=True)
    assert code_of(await strong.raw(VIEWER)) == "UNAUTHENTICATED"


async def test_only_a_hash_of_a_key_is_stored_and_a_changed_key_is_nobody_s(product: Product) -> None:
    person = await product.sign_up()
    secret = (await run(person, CREATE_KEY, name="x", role="USER"))["secret"]
    ((stored,),) = await as_owner(
        product.settings, "SELECT key_hash FROM api_keys WHERE tenant_id = $1", person.tenant_id
    )
    assert len(stored) == 32
    for changed in (secret[:-1], secret[:-1] + ("A" if secret[-1] != "A" else "B"), "clq_sk_", "clq_sk_" + "A" * 128):
        assert code_of(await product.post(VIEWER, token=changed)) == "UNAUTHENTICATED"


async def test_sessions_are_listed_and_can_be_ended_one_by_one(product: Product) -> None:
    person = await product.sign_up()
    other = (await sign_in(product, person.email))["session"]["accessToken"]
    nodes = (await person.query(SESSIONS))["viewer"]["sessions"]["nodes"]
    assert [node["current"] for node in nodes] == [False, True]
    assert all(node["address"] == "127.0.0.1" and "aiohttp" in node["device"] for node in nodes)
    assert (await run(person, REVOKE_SESSION, sessionId=nodes[0]["id"]))["sessionId"] == nodes[0]["id"]
    assert code_of(await product.post(VIEWER, token=other)) == "UNAUTHENTICATED"
    assert [node["id"] for node in (await person.query(SESSIONS))["viewer"]["sessions"]["nodes"]] == [nodes[1]["id"]]
    assert (await run(person, REVOKE_SESSION, sessionId=nodes[0]["id"]))["code"] == "NOT_FOUND"


async def test_a_changed_password_ends_the_other_sessions(product: Product) -> None:
    person = await product.sign_up()
    other = (await sign_in(product, person.email))["session"]["accessToken"]
    new = "another good password"
    assert (await run(person, CHANGE, currentPassword="wrong password", newPassword=new))[
        "code"
    ] == "INVALID_CREDENTIALS"
    for bad in ("short", "x" * 129, "password123", person.email):
        assert (await run(person, CHANGE, currentPassword=PASSWORD, newPassword=bad))["code"] == "INVALID_INPUT"
    assert code_of(await product.post(VIEWER, token=other)) is None
    assert (await run(person, CHANGE, currentPassword=PASSWORD, newPassword=new))["user"]["id"] == person.user_id
    assert code_of(await product.post(VIEWER, token=other)) == "UNAUTHENTICATED"
    assert code_of(await person.raw(VIEWER)) is None
    assert (await sign_in(product, person.email))["code"] == "INVALID_CREDENTIALS"
    assert (await sign_in(product, person.email, new))["__typename"] == "SignInPayload"


async def test_a_revoked_key_ends_its_sockets(product: Product) -> None:
    person = await product.sign_up()
    made = await run(person, CREATE_KEY, name="watcher", role="USER")
    program = Person(product, made["secret"], "", "")
    async with product.socket(program.token) as socket:
        await run(person, REVOKE_KEY, apiKeyId=made["apiKey"]["id"])
        await socket.receive(timeout=2)
        assert socket.close_code == 4403
    with pytest.raises((AssertionError, OperationFailed, TypeError)):
        async with product.socket(program.token):
            pass
