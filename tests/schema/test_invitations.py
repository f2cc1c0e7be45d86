"""Invitations: who may send them, what the inviter learns, and when one is void."""

from __future__ import annotations

import asyncio
from mailbox import letters, token_for
from typing import Any

import pytest
from accounts import ACCEPT, INVITATIONS, INVITE, NEW, RESET, REVOKE, kept, refusal, run, signs_in, tampered
from auditing import outcomes, rows
from test_access import colleague

from core.ids import NodeKind, new_id, to_global
from core.opaque_tokens import TokenKind
from datastores.models import Role
from owner import as_owner, set_role, set_verified
from product import Person, Product

INVITED = "You are invited"


async def inviter(product: Product) -> Person:
    """The BUSINESS person of a new tenant, with a verified address."""
    person = await product.sign_up()
    await set_verified(person)
    return person


async def invite(person: Person, **fields: Any) -> dict[str, Any]:
    """The result of `inviteMember`; for a new address and the role USER unless told otherwise."""
    values = {"email": f"{new_id().hex}@example.test", "role": "USER", "name": "Ina"} | fields
    return await run(person.product, INVITE, person.token, **values)


async def invited(person: Person, **fields: Any) -> tuple[str, str]:
    """An address that has been invited, and the token in its mail."""
    email = (await invite(person, **fields))["invitation"]["email"]
    return email, await token_for(person.product, email, INVITED)


async def pending(person: Person) -> list[dict[str, Any]]:
    """The open invitations as they are listed."""
    nodes: list[dict[str, Any]] = (await person.query(INVITATIONS))["viewer"]["invitations"]["nodes"]
    return nodes


async def test_who_accepts_is_a_member_with_that_role_signed_in_and_verified(product: Product) -> None:
    person = await inviter(product)
    email, token = await invited(person, role="OPERATOR")
    (listed,) = await pending(person)
    assert (listed["email"], listed["name"], listed["role"]) == (email, "Ina", "OPERATOR")
    assert listed["invitedBy"] == {"id": person.user_id}
    session = (await run(product, ACCEPT, token=token, name="Ina Olsen", password=NEW))["session"]
    user = session["user"]
    assert (user["name"], user["email"], user["role"]) == ("Ina Olsen", email, "OPERATOR")
    assert user["emailVerifiedAt"] is not None
    assert session["refreshToken"] is not None
    assert product.services.signer.check_access(session["accessToken"]).tenant_id == person.tenant_id
    assert await refusal(product, session["accessToken"]) is None
    assert await signs_in(product, email, NEW)
    assert await pending(person) == []


async def test_the_suggested_name_is_taken_where_none_is_given(product: Product) -> None:
    person = await inviter(product)
    _, token = await invited(person, name="Ina of the harbour")
    assert (await run(product, ACCEPT, token=token, password=NEW))["session"]["user"]["name"] == "Ina of the harbour"
    _, token = await invited(person, name=None)
    refused = await run(product, ACCEPT, token=token, password=NEW)
    assert (refused["code"], refused["field"]) == ("INVALID_INPUT", "name")


async def test_the_mail_names_who_invites_and_makes_no_link_of_a_name(product: Product) -> None:
    person = await inviter(product)
    await as_owner(product.settings, "UPDATE users SET name = $1 WHERE email = $2", "http://x.test/a", person.email)
    await product.services.standings.changed(person.tenant_id, [person.session_id])
    email, _ = await invited(person)
    (text,) = await letters(product, email, INVITED)
    assert person.email in text
    assert "http://x.test" not in text
    assert "do nothing" in text


async def _expired(person: Person, invitation_id: str) -> None:
    statement = "UPDATE invitations SET expires_at = now() WHERE tenant_id = $1"
    await as_owner(person.product.settings, statement, person.tenant_id)


async def _revoked(person: Person, invitation_id: str) -> None:
    result = await run(person.product, REVOKE, person.token, invitationId=invitation_id)
    assert result["invitation"]["id"] == invitation_id


async def _by_somebody_demoted(person: Person, invitation_id: str) -> None:
    await set_role(person, "USER")


async def _by_somebody_suspended(person: Person, invitation_id: str) -> None:
    await as_owner(person.product.settings, "UPDATE users SET suspended_at = now() WHERE email = $1", person.email)


async def _by_somebody_removed(person: Person, invitation_id: str) -> None:
    await as_owner(person.product.settings, "DELETE FROM users WHERE email = $1", person.email)


async def _of_a_suspended_tenant(person: Person, invitation_id: str) -> None:
    statement = "UPDATE tenants SET suspended_at = now() WHERE id = $1"
    await as_owner(person.product.settings, statement, person.tenant_id)


@pytest.mark.parametrize(
    "spoil",
    [
        *(_expired, _revoked, _by_somebody_demoted, _by_somebody_suspended),
        *(_by_somebody_removed, _of_a_suspended_tenant),
    ],
)
async def test_an_invitation_that_is_void_is_refused_alike_and_makes_nobody_a_member(
    product: Product, spoil: Any
) -> None:
    person = await inviter(product)
    made = await invite(person)
    token = await token_for(product, made["invitation"]["email"], INVITED)
    await spoil(person, made["invitation"]["id"])
    before = await kept(person)
    refused = await run(product, ACCEPT, token=token, name="Ina", password=NEW)
    assert refused == await run(product, ACCEPT, token="nonsense", name="Ina", password=NEW)
    assert refused["code"] == "INVALID_CREDENTIALS"
    assert await kept(person) == before


async def test_an_administrator_s_invitation_is_void_once_the_role_is_beyond_the_inviter(product: Product) -> None:
    person = await product.sign_up()
    admin = await colleague(person, Role.ADMIN)
    await set_verified(admin)
    _, token = await invited(admin, role="ADMIN")
    await set_role(admin, "BUSINESS")
    assert await pending(person) == []
    refused = await run(product, ACCEPT, token=token, name="Ina", password=NEW)
    assert refused["code"] == "INVALID_CREDENTIALS"


async def test_inviting_again_replaces_the_earlier_invitation(product: Product) -> None:
    person = await inviter(product)
    email, first = await invited(person)
    await invite(person, email=email.upper(), role="OPERATOR")
    second = await token_for(product, email, INVITED, count=2)
    assert [(one["email"], one["role"]) for one in await pending(person)] == [(email, "OPERATOR")]
    assert (await run(product, ACCEPT, token=first, name="Ina", password=NEW))["code"] == "INVALID_CREDENTIALS"
    assert (await run(product, ACCEPT, token=second, name="Ina", password=NEW))["session"]["user"]["role"] == "OPERATOR"


async def test_an_address_with_an_account_elsewhere_is_answered_alike_and_told_in_the_mail(product: Product) -> None:
    person, other = await inviter(product), await product.sign_up()
    theirs = await kept(other)
    fresh, taken = await invite(person), await invite(person, email=other.email)
    assert {name: type(value) for name, value in taken["invitation"].items()} == {
        name: type(value) for name, value in fresh["invitation"].items()
    }
    assert {one["email"] for one in await pending(person)} == {other.email, fresh["invitation"]["email"]}
    (text,) = await letters(product, other.email, INVITED)
    assert "has a Colloquy account already" in text
    assert "#invitation=" not in text
    assert await kept(other) == theirs


async def test_a_member_of_one_s_own_is_not_invited(product: Product) -> None:
    person = await inviter(product)
    member = await colleague(person)
    before = await kept(person)
    assert (await invite(person, email=member.email))["code"] == "CONFLICT"
    assert await kept(person) == before


async def test_who_got_an_account_meanwhile_is_told_and_the_invitation_stays(product: Product) -> None:
    person = await inviter(product)
    email, token = await invited(person)
    await product.sign_up(email)
    before = await kept(person)
    result = await run(product, ACCEPT, token=token, name="Ina", password=NEW)
    assert result["code"] == "CONFLICT"
    assert await kept(person) == before


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"role": "ADMIN"}, "role"),
        ({"email": "not an address"}, "email"),
        ({"email": "a\x00b@example.test"}, "email"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\nb"}, "name"),
    ],
)
async def test_what_cannot_be_accepted_is_named_and_nothing_is_stored(
    product: Product, fields: dict[str, str], field: str
) -> None:
    person = await inviter(product)
    before = await kept(person)
    refused = await invite(person, **fields)
    assert (refused["code"], refused["field"]) == ("INVALID_INPUT", field)
    assert await kept(person) == before


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"password": "short"}, "password"), ({"password": "qwertyuiop"}, "password"), ({"name": ""}, "name")],
)
async def test_a_bad_name_or_password_does_not_use_the_invitation_up(
    product: Product, fields: dict[str, str], field: str
) -> None:
    person = await inviter(product)
    _, token = await invited(person)
    before = await kept(person)
    refused = await run(product, ACCEPT, token=token, **({"name": "Ina", "password": NEW} | fields))
    assert (refused["code"], refused["field"]) == ("INVALID_INPUT", field)
    assert await kept(person) == before
    assert "session" in await run(product, ACCEPT, token=token, name="Ina", password=NEW)


async def test_of_several_who_accept_at_once_one_is_a_member(product: Product) -> None:
    person = await inviter(product)
    email, token = await invited(person)
    results = await asyncio.gather(*(run(product, ACCEPT, token=token, name="Ina", password=NEW) for _ in range(4)))
    assert sorted(one["__typename"] for one in results) == ["AcceptInvitationPayload"] + ["InvalidCredentials"] * 3
    assert await as_owner(product.settings, "SELECT count(*) FROM users WHERE email = $1", email) == [(1,)]
    before = await kept(person)
    assert (await run(product, ACCEPT, token=token, name="Ina", password=NEW))["code"] == "INVALID_CREDENTIALS"
    assert await kept(person) == before


async def test_a_tampered_foreign_or_other_token_is_refused_and_changes_nothing(product: Product) -> None:
    person, other = await inviter(product), await product.sign_up()
    email, token = await invited(person)
    tokens, before = product.services.tokens, await kept(person)
    row = tokens.read(TokenKind.INVITATION, token)
    for changed in (
        *tampered(token),
        tokens.mint(TokenKind.INVITATION, other.tenant_id, row.id)[0],
        tokens.mint(TokenKind.INVITATION, row.tenant_id, row.id)[0],
        tokens.mint(TokenKind.PASSWORD_RESET, row.tenant_id, row.id)[0],
        token.replace("clq_iv_", "clq_pr_"),
    ):
        assert (await run(product, ACCEPT, token=changed, name="Ina", password=NEW))["code"] == "INVALID_CREDENTIALS"
    assert (await run(product, RESET, token=token, newPassword=NEW))["code"] == "INVALID_CREDENTIALS"
    assert await kept(person) == before
    assert not await signs_in(product, email, NEW)


async def test_an_invitation_is_revoked_by_its_own_tenant_alone(product: Product) -> None:
    person, other = await inviter(product), await inviter(product)
    invitation = (await invite(person))["invitation"]["id"]
    before = await kept(person)
    for one in (invitation, to_global(NodeKind.INVITATION, new_id())):
        assert await run(product, REVOKE, other.token, invitationId=one) == {
            "__typename": "NotFound",
            "code": "NOT_FOUND",
            "message": "There is no such invitation.",
        }
    assert (await run(product, REVOKE, other.token, invitationId="nonsense"))["code"] == "INVALID_INPUT"
    assert await pending(other) == []
    assert await kept(person) == before
    await _revoked(person, invitation)
    assert (await run(product, REVOKE, person.token, invitationId=invitation))["code"] == "NOT_FOUND"
    assert await pending(person) == []


async def test_a_void_invitation_cannot_be_revoked_and_trying_changes_nothing(product: Product) -> None:
    person = await inviter(product)
    other = await colleague(person, Role.BUSINESS)
    invitation = (await invite(person))["invitation"]["id"]
    await _by_somebody_suspended(person, invitation)
    before = await kept(person)
    assert (await run(product, REVOKE, other.token, invitationId=invitation))["code"] == "NOT_FOUND"
    assert await kept(person) == before
    assert await outcomes(person, "revokeInvitation") == [("revokeInvitation", "REFUSED", "NOT_FOUND")]


async def test_a_refused_invitation_is_named_by_no_entry_of_the_audit_log(product: Product) -> None:
    person = await inviter(product)
    assert (await invite(person, email=person.email))["code"] == "CONFLICT"
    made = (await invite(person))["invitation"]["id"]
    assert [row["targets"] for row in await rows(person, "inviteMember")] == [[], [made]]


async def test_invitations_are_paged_newest_first(product: Product) -> None:
    person = await inviter(product)
    emails = [(await invite(person))["invitation"]["email"] for _ in range(3)]
    query = """query($after: String) { viewer { invitations(first: 2, after: $after) {
      nodes { email } pageInfo { hasNextPage endCursor } } } }"""
    first = (await person.query(query))["viewer"]["invitations"]
    second = (await person.query(query, after=first["pageInfo"]["endCursor"]))["viewer"]["invitations"]
    assert [one["email"] for one in first["nodes"] + second["nodes"]] == emails[::-1]
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)


async def test_only_a_hash_is_stored(product: Product) -> None:
    person = await inviter(product)
    _, token = await invited(person)
    rows = await as_owner(product.settings, "SELECT token_hash FROM invitations WHERE tenant_id = $1", person.tenant_id)
    assert [len(one) for (one,) in rows] == [32]
    assert not any(one in token.encode() for (one,) in rows)
