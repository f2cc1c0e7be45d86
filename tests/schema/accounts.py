"""Mutations on accounts as these tests send them."""

from __future__ import annotations

from typing import Any

from owner import as_owner
from product import Person, Product

REQUEST_RESET = """mutation($input: RequestPasswordResetInput!) { requestPasswordReset(input: $input) { __typename
  ... on RequestPasswordResetPayload { requested } ... on UserError { code message } } }"""
RESET = """mutation($input: ResetPasswordInput!) { resetPassword(input: $input) { __typename
  ... on ResetPasswordPayload { email } ... on UserError { code message } ... on InvalidInput { field } } }"""
VERIFY = """mutation($input: VerifyEmailInput!) { verifyEmail(input: $input) { __typename
  ... on VerifyEmailPayload { email } ... on UserError { code message } } }"""
ASK_AGAIN = """mutation { requestEmailVerification { __typename
  ... on RequestEmailVerificationPayload { email } ... on UserError { code message } } }"""
INVITE = """mutation($input: InviteMemberInput!) { inviteMember(input: $input) { __typename
  ... on InviteMemberPayload { invitation { id email name role invitedBy { id } } }
  ... on UserError { code message } ... on InvalidInput { field } } }"""
REVOKE = """mutation($input: RevokeInvitationInput!) { revokeInvitation(input: $input) { __typename
  ... on RevokeInvitationPayload { invitation { id } } ... on UserError { code message } } }"""
ACCEPT = """mutation($input: AcceptInvitationInput!) { acceptInvitation(input: $input) { __typename
  ... on AcceptInvitationPayload { session { accessToken expiresAt refreshToken
    user { id name email role emailVerifiedAt } } }
  ... on UserError { code message } ... on InvalidInput { field } } }"""
INVITATIONS = """{ viewer { invitations { nodes { id email name role createdAt expiresAt invitedBy { id } }
  edges { cursor } pageInfo { hasNextPage } } } }"""
VERIFIED = "{ viewer { user { emailVerifiedAt } } }"
VIEWER = "{ viewer { user { email role } } }"
SIGN_IN = """mutation($input: SignInInput!) { signIn(input: $input) { __typename
  ... on SignInPayload { session { accessToken user { id } } } ... on UserError { code } } }"""
NEW = "thistle-ravine-omelet"
"""A good password that nobody has yet."""


async def run(product: Product, mutation: str, access_token: str | None = None, /, **fields: Any) -> dict[str, Any]:
    """The result of a mutation, as nobody unless a token is given."""
    body = await product.post(mutation, {"input": fields} if fields else {}, access_token)
    assert "errors" not in body, body
    (result,) = body["data"].values()
    return result  # type: ignore[no-any-return]


async def signs_in(product: Product, email: str, password: str) -> bool:
    """Whether these let somebody in."""
    result = await run(product, SIGN_IN, email=email, password=password)
    return bool(result["__typename"] == "SignInPayload")


async def refusal(product: Product, token: str) -> str | None:
    """Why this access token is refused; None when it is good."""
    body = await product.post(VIEWER, token=token)
    return body["errors"][0]["extensions"]["code"] if body.get("errors") else None


async def kept(person: Person) -> list[tuple[str | None, ...]]:
    """All accounts, links, invitations and sessions of the person's tenant: equal twice if nothing was written."""
    tables = ("users", "one_time_tokens", "invitations", "sessions", "refresh_tokens")
    row = "(SELECT string_agg(t.xmin::text || t::text, '' ORDER BY t.id) FROM {} t WHERE t.tenant_id = $1)"
    columns = ", ".join(row.format(table) for table in tables)
    return await as_owner(person.product.settings, f"SELECT {columns}", person.tenant_id)


def tampered(token: str) -> list[str]:
    """The token with one character changed, in each part of it."""
    places = (8, 30, 60, 100, len(token) - 2)
    return [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in places]
