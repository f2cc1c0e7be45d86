"""Mutations: one's password and sessions, the members of an organisation, API keys."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from datastores.records import ApiKeyRecord, UserRecord
from resolvers import api_keys, members, passwords, sessions
from schema.enums import Role
from schema.errors import Conflict, InvalidCredentials, InvalidInput, NotFound, RateLimited
from schema.records import Info
from schema.types.identity import ApiKey
from schema.types.people import User


@strawberry.input
class ChangePasswordInput:
    current_password: str
    new_password: str = strawberry.field(description="10 to 128 characters, and not easily guessed.")


@strawberry.type
class ChangePasswordPayload:
    user: User


@strawberry.input
class RevokeSessionInput:
    session_id: strawberry.ID


@strawberry.type
class RevokeSessionPayload:
    session_id: strawberry.ID


@strawberry.input
class UpdateMemberInput:
    user_id: strawberry.ID
    role: Role | None = strawberry.field(default=None, description="Null: as it is. Not stronger than your own.")
    suspended: bool | None = strawberry.field(
        default=None, description="Null: as it is. A suspended person cannot sign in, and is signed out within seconds."
    )


@strawberry.type
class UpdateMemberPayload:
    user: User


@strawberry.input
class RemoveMemberInput:
    user_id: strawberry.ID


@strawberry.type
class RemoveMemberPayload:
    user_id: strawberry.ID


@strawberry.input
class CreateApiKeyInput:
    name: str = strawberry.field(description="1 to 100 characters.")
    role: Role = strawberry.field(description="Not stronger than your own.")


@strawberry.type
class CreateApiKeyPayload:
    secret: str = strawberry.field(description="For `Authorization: Bearer …`. It is shown this once.")
    api_key: ApiKey


@strawberry.input
class RevokeApiKeyInput:
    api_key_id: strawberry.ID


@strawberry.type
class RevokeApiKeyPayload:
    api_key: ApiKey


ChangePasswordResult = Annotated[
    ChangePasswordPayload | InvalidInput | InvalidCredentials | RateLimited, strawberry.union("ChangePasswordResult")
]
RevokeSessionResult = Annotated[RevokeSessionPayload | NotFound | InvalidInput, strawberry.union("RevokeSessionResult")]
UpdateMemberResult = Annotated[
    UpdateMemberPayload | NotFound | InvalidInput | Conflict, strawberry.union("UpdateMemberResult")
]
RemoveMemberResult = Annotated[
    RemoveMemberPayload | NotFound | InvalidInput | Conflict, strawberry.union("RemoveMemberResult")
]
CreateApiKeyResult = Annotated[CreateApiKeyPayload | InvalidInput | Conflict, strawberry.union("CreateApiKeyResult")]
RevokeApiKeyResult = Annotated[RevokeApiKeyPayload | NotFound | InvalidInput, strawberry.union("RevokeApiKeyResult")]


@strawberry.type
class AccessMutations:
    @strawberry.mutation(description="Replace your password; your other sessions end, your API keys stay.")
    async def change_password(self, info: Info, input: ChangePasswordInput) -> ChangePasswordResult:
        refused: Any = await passwords.change_password(
            info.context, current=input.current_password, new=input.new_password
        )
        if refused is not None:
            return refused  # type: ignore[no-any-return]
        person: Any = await info.context.person()
        return ChangePasswordPayload(user=person)

    @strawberry.mutation(description="End one of your sessions, on all its sockets.")
    async def revoke_session(self, info: Info, input: RevokeSessionInput) -> RevokeSessionResult:
        refused: Any = await sessions.revoke_session(info.context, input.session_id)
        return refused or RevokeSessionPayload(session_id=input.session_id)

    @strawberry.mutation(description="Change somebody's role, or suspend or readmit them. Needs the role BUSINESS.")
    async def update_member(self, info: Info, input: UpdateMemberInput) -> UpdateMemberResult:
        result: Any = await members.update_member(
            info.context, user_id=input.user_id, role=input.role, suspended=input.suspended
        )
        changed = type(result) is UserRecord
        return UpdateMemberPayload(user=result) if changed else result

    @strawberry.mutation(
        description="Delete somebody with their conversations, sessions and API keys; documents that they uploaded "
        "stay. Needs the role BUSINESS."
    )
    async def remove_member(self, info: Info, input: RemoveMemberInput) -> RemoveMemberResult:
        refused: Any = await members.remove_member(info.context, input.user_id)
        return refused or RemoveMemberPayload(user_id=input.user_id)

    @strawberry.mutation(
        description="A key for a program, which then acts for you within the role. Needs the role BUSINESS."
    )
    async def create_api_key(self, info: Info, input: CreateApiKeyInput) -> CreateApiKeyResult:
        result: Any = await api_keys.create_key(info.context, name=input.name, role=input.role)
        if isinstance(result, api_keys.NewKey):
            key: Any = result.key
            return CreateApiKeyPayload(secret=result.secret, api_key=key)
        return result  # type: ignore[no-any-return]

    @strawberry.mutation(description="End an API key of your organisation. Needs the role BUSINESS.")
    async def revoke_api_key(self, info: Info, input: RevokeApiKeyInput) -> RevokeApiKeyResult:
        result: Any = await api_keys.revoke_key(info.context, input.api_key_id)
        revoked = type(result) is ApiKeyRecord
        return RevokeApiKeyPayload(api_key=result) if revoked else result
