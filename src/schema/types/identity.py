"""Sessions and API keys, as their owners see them."""

from __future__ import annotations

from datetime import datetime

import strawberry

from core.ids import NodeKind
from datastores import records
from schema.connections import ConnectionRecord, EdgeRecord, PageInfo, edge_cursor
from schema.enums import Role
from schema.records import Info, backed_by, global_id, relation
from schema.types.people import User


@backed_by(records.SessionRecord, description="One of your sign-ins that has not ended.")
class DeviceSession:
    id: strawberry.ID = global_id(NodeKind.SESSION)
    device: str = strawberry.field(description="How the client described itself.")
    address: str = strawberry.field(description="Where it signed in from, or refreshed last.")
    created_at: datetime
    last_seen_at: datetime = strawberry.field(description="When it signed in, or refreshed last.")
    expires_at: datetime = strawberry.field(description="When it ends unless it is refreshed before.")

    @strawberry.field(description="Whether it is the one that asks.")
    def current(self, info: Info) -> bool:
        claims = info.context.claims
        return claims is not None and claims.session_id == self.id


@backed_by(EdgeRecord, name="DeviceSessionEdge")
class DeviceSessionEdge:
    cursor: str = edge_cursor()
    node: DeviceSession


@backed_by(ConnectionRecord, name="DeviceSessionConnection")
class DeviceSessionConnection:
    edges: list[DeviceSessionEdge]
    nodes: list[DeviceSession]
    page_info: PageInfo


@backed_by(records.ApiKeyRecord, description="How a program signs in, for the person who made the key.")
class ApiKey:
    id: strawberry.ID = global_id(NodeKind.API_KEY)
    name: str
    role: Role = strawberry.field(description="It may do what this role and its maker's may.")
    hint: str = strawberry.field(description="Its last four characters.")
    created_at: datetime
    last_used_at: datetime | None = strawberry.field(description="To the minute; null when it was never used.")


@backed_by(EdgeRecord, name="ApiKeyEdge")
class ApiKeyEdge:
    cursor: str = edge_cursor()
    node: ApiKey


@backed_by(ConnectionRecord, name="ApiKeyConnection")
class ApiKeyConnection:
    edges: list[ApiKeyEdge]
    nodes: list[ApiKey]
    page_info: PageInfo


@backed_by(records.InvitationRecord, description="Somebody who may join, and has not yet.")
class Invitation:
    id: strawberry.ID = global_id(NodeKind.INVITATION)
    email: str
    name: str | None = strawberry.field(description="As whoever invited them suggested.")
    role: Role
    invited_by: User | None = relation("users", "invited_by_id")
    created_at: datetime
    expires_at: datetime


@backed_by(EdgeRecord, name="InvitationEdge")
class InvitationEdge:
    cursor: str = edge_cursor()
    node: Invitation


@backed_by(ConnectionRecord, name="InvitationConnection")
class InvitationConnection:
    edges: list[InvitationEdge]
    nodes: list[Invitation]
    page_info: PageInfo


@backed_by(EdgeRecord, name="MemberEdge")
class MemberEdge:
    cursor: str = edge_cursor()
    node: User


@backed_by(ConnectionRecord, name="MemberConnection")
class MemberConnection:
    edges: list[MemberEdge]
    nodes: list[User]
    page_info: PageInfo
