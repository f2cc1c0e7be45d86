"""Mutations: signing up and in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry

from resolvers import identity, sessions
from schema.errors import Conflict, InvalidCredentials, InvalidInput, RateLimited
from schema.records import Info
from schema.types.people import User


@strawberry.type(description="A signed-in session.")
class Session:
    access_token: str = strawberry.field(
        description="For `Authorization: Bearer …`, and for `connection_init`'s payload `authorization`."
    )
    expires_at: datetime = strawberry.field(description="When the access token stops being good.")
    refresh_token: str | None = strawberry.field(
        description="For `refreshSession`, once; null where the browser keeps it in a cookie."
    )
    user: User


@strawberry.input
class SignUpInput:
    organization: str = strawberry.field(description="1 to 200 characters.")
    name: str = strawberry.field(description="1 to 200 characters.")
    email: str
    password: str = strawberry.field(description="10 to 128 characters, and not easily guessed.")


@strawberry.input
class SignInInput:
    email: str
    password: str


@strawberry.input
class RefreshSessionInput:
    refresh_token: str


@strawberry.type
class SignUpPayload:
    session: Session


@strawberry.type
class SignInPayload:
    session: Session


@strawberry.type
class RefreshSessionPayload:
    session: Session


@strawberry.type
class SignOutPayload:
    signed_out: bool = strawberry.field(description="Always true: nobody is signed in any more.")


@strawberry.type
class SignOutEverywherePayload:
    signed_out: bool = strawberry.field(description="Always true: every session of yours has ended.")


SignUpResult = Annotated[SignUpPayload | InvalidInput | Conflict | RateLimited, strawberry.union("SignUpResult")]
SignInResult = Annotated[SignInPayload | InvalidCredentials | RateLimited, strawberry.union("SignInResult")]
RefreshSessionResult = Annotated[RefreshSessionPayload | InvalidCredentials, strawberry.union("RefreshSessionResult")]


def session_of(signed_in: sessions.SignedIn) -> Session:
    """What a client gets of it."""
    user: Any = signed_in.user
    return Session(
        access_token=signed_in.access_token,
        expires_at=signed_in.expires_at,
        refresh_token=signed_in.refresh_token,
        user=user,
    )


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
        return SignUpPayload(session=session_of(result)) if isinstance(result, sessions.SignedIn) else result

    @strawberry.mutation(description="Exchange an e-mail address and a password for an access token.")
    async def sign_in(self, info: Info, input: SignInInput) -> SignInResult:
        result: Any = await identity.sign_in(info.context, email=input.email, password=input.password)
        return SignInPayload(session=session_of(result)) if isinstance(result, sessions.SignedIn) else result

    @strawberry.mutation(
        description="Exchange a refresh token, once, for an access token and the next refresh token. "
        "Without input, the one in the browser's cookie. A token that comes twice ends its session."
    )
    async def refresh_session(self, info: Info, input: RefreshSessionInput | None = None) -> RefreshSessionResult:
        result: Any = await sessions.refresh_session(info.context, input.refresh_token if input else None)
        return RefreshSessionPayload(session=session_of(result)) if isinstance(result, sessions.SignedIn) else result

    @strawberry.mutation(
        description="End this session, by its access token or the browser's cookie, on all its sockets."
    )
    async def sign_out(self, info: Info) -> SignOutPayload:
        await sessions.sign_out(info.context)
        return SignOutPayload(signed_out=True)

    @strawberry.mutation(description="End all of your sessions, this one included.")
    async def sign_out_everywhere(self, info: Info) -> SignOutEverywherePayload:
        await sessions.sign_out_everywhere(info.context)
        return SignOutEverywherePayload(signed_out=True)
