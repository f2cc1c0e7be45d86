"""Mutations: a lost password, an address to verify, and invitations."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from datastores.records import InvitationRecord
from resolvers import email_verification, invitations, password_reset
from resolvers.sessions import SignedIn
from schema.enums import Role
from schema.errors import Conflict, InvalidCredentials, InvalidInput, NotFound, RateLimited
from schema.identity import Session, session_of
from schema.records import Info
from schema.types.identity import Invitation

_TOKEN = "From the link in the mail, after `=`. It is good once."  # noqa: S105 - a sentence, not a password
_PASSWORD = "10 to 128 characters, and not easily guessed."  # noqa: S105 - a sentence, not a password


@strawberry.input
class RequestPasswordResetInput:
    email: str


@strawberry.type
class RequestPasswordResetPayload:
    requested: bool = strawberry.field(description="Always true, whether or not there is such an account.")


@strawberry.input
class ResetPasswordInput:
    token: str = strawberry.field(description=_TOKEN)
    new_password: str = strawberry.field(description=_PASSWORD)


@strawberry.type
class ResetPasswordPayload:
    email: str = strawberry.field(description="Whose password it is now: for `signIn`.")


@strawberry.type
class RequestEmailVerificationPayload:
    email: str = strawberry.field(description="Where the mail goes.")


@strawberry.input
class VerifyEmailInput:
    token: str = strawberry.field(description=_TOKEN)


@strawberry.type
class VerifyEmailPayload:
    email: str = strawberry.field(description="The address, which is verified now.")


@strawberry.input
class InviteMemberInput:
    email: str
    name: str | None = strawberry.field(
        default=None, description="A suggestion, 1 to 200 characters; null leaves it to the person."
    )
    role: Role = strawberry.field(description="Not stronger than your own.")


@strawberry.type
class InviteMemberPayload:
    invitation: Invitation


@strawberry.input
class RevokeInvitationInput:
    invitation_id: strawberry.ID


@strawberry.type
class RevokeInvitationPayload:
    invitation: Invitation


@strawberry.input
class AcceptInvitationInput:
    token: str = strawberry.field(description=_TOKEN)
    name: str | None = strawberry.field(
        default=None, description="1 to 200 characters; null takes the name that the invitation suggests."
    )
    password: str = strawberry.field(description=_PASSWORD)


@strawberry.type
class AcceptInvitationPayload:
    session: Session


RequestPasswordResetResult = Annotated[
    RequestPasswordResetPayload | RateLimited, strawberry.union("RequestPasswordResetResult")
]
ResetPasswordResult = Annotated[
    ResetPasswordPayload | InvalidInput | InvalidCredentials | RateLimited, strawberry.union("ResetPasswordResult")
]
RequestEmailVerificationResult = Annotated[
    RequestEmailVerificationPayload | Conflict | RateLimited, strawberry.union("RequestEmailVerificationResult")
]
VerifyEmailResult = Annotated[VerifyEmailPayload | InvalidCredentials, strawberry.union("VerifyEmailResult")]
InviteMemberResult = Annotated[
    InviteMemberPayload | InvalidInput | Conflict | RateLimited, strawberry.union("InviteMemberResult")
]
RevokeInvitationResult = Annotated[
    RevokeInvitationPayload | NotFound | InvalidInput, strawberry.union("RevokeInvitationResult")
]
AcceptInvitationResult = Annotated[
    AcceptInvitationPayload | InvalidInput | InvalidCredentials | Conflict | RateLimited,
    strawberry.union("AcceptInvitationResult"),
]


@strawberry.type
class AccountMutations:
    @strawberry.mutation(
        description="Have a mail sent with a link to a new password, to whoever has the address. The answer is the "
        "same for an address without an account, and the time that it takes about the same. One mail a minute to a "
        "person."
    )
    async def request_password_reset(self, info: Info, input: RequestPasswordResetInput) -> RequestPasswordResetResult:
        limited: Any = await password_reset.request_reset(info.context, input.email)
        return limited or RequestPasswordResetPayload(requested=True)

    @strawberry.mutation(
        description="Choose a new password with the token of such a mail. All sessions and API keys of the person end, "
        "and nobody is signed in by it: sign in with the new one. The address counts as verified."
    )
    async def reset_password(self, info: Info, input: ResetPasswordInput) -> ResetPasswordResult:
        result: Any = await password_reset.reset_password(info.context, token=input.token, new=input.new_password)
        return ResetPasswordPayload(email=result) if isinstance(result, str) else result

    @strawberry.mutation(
        description="Have the mail sent again by which you show that your e-mail address is yours. One a minute, "
        "ten a day."
    )
    async def request_email_verification(self, info: Info) -> RequestEmailVerificationResult:
        result: Any = await email_verification.request_verification(info.context)
        return RequestEmailVerificationPayload(email=result) if isinstance(result, str) else result

    @strawberry.mutation(
        description="Show by the token of such a mail that the address is yours; you need not be signed in."
    )
    async def verify_email(self, info: Info, input: VerifyEmailInput) -> VerifyEmailResult:
        result: Any = await email_verification.verify_email(info.context, input.token)
        return VerifyEmailPayload(email=result) if isinstance(result, str) else result

    @strawberry.mutation(
        description="Have somebody asked by mail to join your organisation; an earlier invitation of the address is "
        "replaced. An address that has an account elsewhere is answered alike, and told so in the mail. Ten mails "
        "a day to one address. Needs the role BUSINESS, and a verified e-mail address of your own."
    )
    async def invite_member(self, info: Info, input: InviteMemberInput) -> InviteMemberResult:
        result: Any = await invitations.invite_member(info.context, email=input.email, name=input.name, role=input.role)
        made = type(result) is InvitationRecord
        return InviteMemberPayload(invitation=result) if made else result

    @strawberry.mutation(description="Take an invitation back. Needs the role BUSINESS.")
    async def revoke_invitation(self, info: Info, input: RevokeInvitationInput) -> RevokeInvitationResult:
        result: Any = await invitations.revoke_invitation(info.context, input.invitation_id)
        made = type(result) is InvitationRecord
        return RevokeInvitationPayload(invitation=result) if made else result

    @strawberry.mutation(
        description="Join the organisation that has invited you, with the token of the mail; you are signed in, and "
        "your address is verified. An invitation is void once whoever made it could not make it any more."
    )
    async def accept_invitation(self, info: Info, input: AcceptInvitationInput) -> AcceptInvitationResult:
        result: Any = await invitations.accept_invitation(
            info.context, token=input.token, name=input.name, password=input.password
        )
        return AcceptInvitationPayload(session=session_of(result)) if isinstance(result, SignedIn) else result
