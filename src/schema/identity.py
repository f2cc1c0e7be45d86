"""Mutations: signing up and in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry

from resolvers import identity
from schema.errors import Conflict, InvalidCredentials, InvalidInput
from schema.records import Info
from schema.types.people import User


@strawberry.type(description="A signed-in session.")
class Session:
    access_token: str = strawberry.field(
        description="For `Authorization: Bearer …`, and for `connection_init`'s payload `authorization`."
    )
    expires_at: datetime = strawberry.field(description="When the access token stops being good.")
    refresh_token: str | None
    user: User


@strawberry.input
class SignUpInput:
    organization: str = strawberry.field(description="1 to 200 characters.")
    name: str = strawberry.field(description="1 to 200 characters.")
    email: str
    password: str = strawberry.field(description="10 to 128 characters.")


@strawberry.input
class SignInInput:
    email: str
    password: str


@strawberry.type
class SignUpPayload:
    session: Session


@strawberry.type
class SignInPayload:
    session: Session


SignUpResult = Annotated[SignUpPayload | InvalidInput | Conflict, strawberry.union("SignUpResult")]
SignInResult = Annotated[SignInPayload | InvalidCredentials, strawberry.union("SignInResult")]


def _session(signed_in: identity.SignedIn) -> Session:
    user: Any = signed_in.user
    return Session(access_token=signed_in.access_token, expires_at=signed_in.expires_at, refresh_token=None, user=user)


@strawberry.type
class IdentityMutations:
    @strawberry.mutation(description="Found an organisation; you become its first person, with the role BUSINESS.")
    async def sign_up(self, info: Info, input: SignUpInput) -> SignUpResult:
        result: Any = await identity.sign_up(
            info.context,
            organization=input.organization,
            name=input.name,
            email=input.email,
            password=input.password,
        )
        return SignUpPayload(session=_session(result)) if isinstance(result, identity.SignedIn) else result

    @strawberry.mutation(description="Exchange an e-mail address and a password for an access token.")
    async def sign_in(self, info: Info, input: SignInInput) -> SignInResult:
        result: Any = await identity.sign_in(info.context, email=input.email, password=input.password)
        return SignInPayload(session=_session(result)) if isinstance(result, identity.SignedIn) else result
