"""The audit log: denials of what is no mutation, reading it, and its file."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from auditing import lines, outcomes, rows

from core.ids import NodeKind, new_id, to_global
from core.settings import Settings
from owner import set_role, uuid_of
from product import START, Person, Product, running_product

VIEWER = "{ viewer { user { id } } }"
MEMBERS = "{ viewer { a: members { nodes { id } } b: members { nodes { id } } apiKeys { nodes { id } } } }"
NODE = 'query { node(id: "usr_00000000000000000000000000000000") { id } }'
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) {
  ... on SignInPayload { session { accessToken } } } }"""
SIGN_OUT = "mutation { signOut { signedOut } }"
LOG = """query($first: Int, $after: String, $action: String, $actorId: ID, $from: DateTime, $to: DateTime) {
  viewer { auditLog(first: $first, after: $after, action: $action, actorId: $actorId, from: $from, to: $to) {
    nodes { id at action outcome code actorId actor { email } sessionId apiKeyId targets address requestId details }
    pageInfo { hasNextPage endCursor } } } }"""


async def log_of(person: Person, **variables: Any) -> dict[str, Any]:
    """A page of `viewer.auditLog`."""
    return (await person.query(LOG, **variables))["viewer"]["auditLog"]  # type: ignore[no-any-return]


async def test_a_query_that_is_denied_is_one_entry_to_each_field(product: Product) -> None:
    person = await product.sign_up()
    await set_role(person, "USER")
    await person.raw(MEMBERS)
    denied = [("apiKeys", "DENIED", "FORBIDDEN"), ("members", "DENIED", "FORBIDDEN")]
    assert sorted((await outcomes(person))[1:]) == denied


async def test_a_session_that_has_ended_is_denied_in_its_own_organisation(product: Product) -> None:
    person = await product.sign_up()
    await person.query(SIGN_OUT)
    await person.raw(VIEWER)
    await person.raw(START, input={})
    assert (await outcomes(person))[2:] == [
        ("viewer", "DENIED", "UNAUTHENTICATED"),
        ("startConversation", "DENIED", "UNAUTHENTICATED"),
    ]
    assert (await rows(person))[-1]["actor_id"] == uuid_of(person.user_id)


async def test_a_token_that_is_no_good_is_an_entry_of_no_organisation(product: Product) -> None:
    before = await outcomes(product, "viewer"), await outcomes(product, "connect")
    await product.post(VIEWER, token="nonsense")
    with pytest.raises((AssertionError, TypeError)):
        async with product.socket("nonsense"):
            pass
    assert await outcomes(product, "viewer") == [*before[0], ("viewer", "DENIED", "UNAUTHENTICATED")]
    assert await outcomes(product, "connect") == [*before[1], ("connect", "DENIED", "UNAUTHENTICATED")]


async def test_a_socket_of_an_ended_session_is_an_entry(product: Product) -> None:
    person = await product.sign_up()
    await person.query(SIGN_OUT)
    with pytest.raises((AssertionError, TypeError)):
        async with product.socket(person.token):
            pass
    assert await outcomes(person, "connect") == [("connect", "DENIED", "UNAUTHENTICATED")]


async def test_a_page_of_elsewhere_that_asks_for_the_cookie_is_an_entry(product: Product) -> None:
    before = await outcomes(product, "crossOriginRequest")
    headers = {"origin": "https://elsewhere.example", "x-colloquy-csrf": "1"}
    async with product.http.post(f"{product.url}/graphql", json={"query": VIEWER}, headers=headers) as response:
        body = await response.json()
    assert response.status == 403
    assert await outcomes(product, "crossOriginRequest") == [*before, ("crossOriginRequest", "DENIED", "FORBIDDEN")]
    request_id = body["errors"][0]["extensions"]["requestId"]
    assert request_id in [line["request_id"] for line in await lines(product)]


async def test_a_socket_of_a_page_of_elsewhere_is_an_entry(product: Product) -> None:
    before = await outcomes(product, "crossOriginRequest")
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await product.http.ws_connect(f"{product.url}/graphql", headers={"origin": "https://elsewhere.example"})
    assert len(await outcomes(product, "crossOriginRequest")) == len(before) + 1


async def test_a_flood_that_no_limit_on_requests_has_met_leaves_no_more_entries_than_that_limit(
    settings: Settings,
) -> None:
    strict = {"rate_limit_anonymous_per_minute": 1, "rate_limit_anonymous_burst": 2}
    async with running_product(settings.model_copy(update=strict), worker=False) as product:
        headers = {"origin": "https://elsewhere.example", "x-colloquy-csrf": "1"}
        for _ in range(4):
            async with product.http.post(f"{product.url}/graphql", json={"query": VIEWER}, headers=headers) as response:
                assert response.status == 403
        for _ in range(4):
            with pytest.raises((AssertionError, TypeError)):
                async with product.socket("nonsense"):
                    pass
        assert len(await rows(product)) == 2


async def test_an_upload_that_is_denied_before_its_file_is_received_is_an_entry(product: Product) -> None:
    person = await product.sign_up()
    await set_role(person, "USER")
    await product.upload_raw(person.token, b"text", "x.txt")
    assert await outcomes(person, "uploadDocument") == [("uploadDocument", "DENIED", "FORBIDDEN")]
    before = await outcomes(product, "uploadDocument")
    await product.upload_raw(None, b"text", "x.txt")
    assert len(await outcomes(product, "uploadDocument")) == len(before) + 1


async def test_a_question_by_nobody_is_in_the_file_alone(own_product: Product) -> None:
    body = await own_product.post(NODE)
    assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert await rows(own_product) == []
    (line,) = await lines(own_product)
    assert (line["action"], line["outcome"], line["code"]) == ("node", "DENIED", "UNAUTHENTICATED")


async def test_the_file_has_what_the_table_has(own_product: Product) -> None:
    person = await own_product.sign_up()
    await person.conversation()
    await own_product.post(VIEWER, token="nonsense")
    table = [(row["action"], row["outcome"]) for row in [*await rows(person), *await rows(own_product)]]
    assert [(line["action"], line["outcome"]) for line in await lines(own_product)] == table
    assert table == [("signUp", "SUCCEEDED"), ("startConversation", "SUCCEEDED"), ("viewer", "DENIED")]


async def test_business_reads_its_own_log_newest_first_page_by_page(product: Product) -> None:
    person, other = await product.sign_up(), await product.sign_up()
    for _ in range(3):
        await person.conversation()
    await other.conversation()
    first = await log_of(person, first=3)
    assert first["pageInfo"]["hasNextPage"]
    second = await log_of(person, first=3, after=first["pageInfo"]["endCursor"])
    assert not second["pageInfo"]["hasNextPage"]
    nodes = [*first["nodes"], *second["nodes"]]
    assert [node["action"] for node in nodes] == ["startConversation"] * 3 + ["signUp"]
    assert [node["at"] for node in nodes] == sorted((node["at"] for node in nodes), reverse=True)
    assert nodes[0]["actorId"] == person.user_id
    assert nodes[0]["actor"] == {"email": person.email}
    assert nodes[0]["sessionId"] == to_global(NodeKind.SESSION, person.session_id)
    assert (nodes[0]["apiKeyId"], nodes[0]["details"], nodes[0]["outcome"]) == (None, {}, "SUCCEEDED")


async def test_the_log_is_narrowed_by_action_person_and_time(product: Product) -> None:
    person = await product.sign_up()
    await person.conversation()
    await person.query(SIGN_OUT)
    values = {"email": person.email, "password": "a good password"}
    person.token = (await product.post(SIGN_IN, {"input": values}))["data"]["signIn"]["session"]["accessToken"]
    newest, _, conversation, _ = (await log_of(person))["nodes"]

    async def actions(**variables: Any) -> list[str]:
        return [node["action"] for node in (await log_of(person, **variables))["nodes"]]

    everything = ["signIn", "signOut", "startConversation", "signUp"]
    assert await actions(action="startConversation") == ["startConversation"]
    assert await actions(action="nothing") == []
    assert await actions(actorId=person.user_id) == everything[:3]  # nobody was signed in who signed up
    assert await actions(actorId=to_global(NodeKind.USER, new_id())) == []
    assert await actions(**{"from": conversation["at"]}) == everything[:3]
    assert await actions(to=newest["at"]) == everything[1:]
    assert await actions(**{"from": conversation["at"], "to": newest["at"]}) == everything[1:3]
    assert await actions(**{"from": "1969-01-01T00:00:00", "to": "2999-01-01T00:00:00"}) == everything
    assert await actions(**{"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59.999999Z"}) == everything
    for name in ("from", "to"):
        # Before the first moment of the calendar in UTC, and after its last.
        for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
            body = await person.raw(LOG, **{name: moment})
            assert body["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT", moment
            assert f"`{name}`" in body["errors"][0]["message"]
    for wrong in ({"actorId": "nonsense"}, {"actorId": to_global(NodeKind.TENANT, new_id())}, {"action": "\0"}):
        body = await person.raw(LOG, **wrong)
        assert body["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT", wrong
