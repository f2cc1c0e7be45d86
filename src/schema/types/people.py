"""Tenants, users and assistants."""

from __future__ import annotations

from datetime import datetime
from typing import cast

import strawberry

from core.ids import NodeKind, to_global
from datastores import records
from resolvers.permissions import Operation
from schema.connections import ConnectionRecord, EdgeRecord, PageInfo, edge_cursor
from schema.enums import DocumentScope, Role
from schema.interfaces import Node
from schema.records import Info, backed_by, computed, global_id


@backed_by(records.TenantRecord, description="An organisation: the unit of isolation.")
class Tenant(Node):
    id: strawberry.ID = global_id(NodeKind.TENANT)
    name: str
    created_at: datetime
    suspended_at: datetime | None = strawberry.field(
        description="Since when nobody of it may come in; null: they may. An administrator of the platform decides."
    )


@backed_by(records.UserRecord, description="A person.")
class User(Node):
    id: strawberry.ID = global_id(NodeKind.USER)
    name: str
    email: str
    role: Role
    suspended_at: datetime | None = strawberry.field(description="Since when they may not come in; null: they may.")
    created_at: datetime

    @strawberry.field(
        description="When a link in a mail to the address was followed first; null: never, or not yours to see. It is "
        "seen by the person, and by those who manage members. Who has not verified their address cannot invite others."
    )
    async def email_verified_at(self, info: Info) -> datetime | None:
        person, shown = await info.context.person(), cast(records.UserRecord, self)
        manages = Operation.VIEWER_MEMBERS.allows(person.role)
        return shown.email_verified_at if manages or shown.id == person.id else None


@backed_by(records.AssistantRecord, description="A use case: instructions, a model and a scope of documents.")
class Assistant(Node):
    id: strawberry.ID = global_id(NodeKind.ASSISTANT)
    name: str
    instructions: str
    prompt_id: strawberry.ID | None = computed(
        lambda one: None if one.prompt_id is None else strawberry.ID(to_global(NodeKind.PROMPT, one.prompt_id)),
        "Its system prompt, for `Viewer.promptVersions`. Null: the product's own, which gives grounded answers.",
    )
    prompt_version: int | None = strawberry.field(description="Null: the newest.")
    language: str | None = strawberry.field(description="In which it answers. Null: in that of the question.")
    provider: str | None = strawberry.field(description="Null: the deployment's chat provider.")
    model: str | None = strawberry.field(description="Null: the provider's default model.")
    fallback_providers: list[str] | None = strawberry.field(
        description="Asked in this order when the provider fails. Null: as the deployment is set up."
    )
    temperature: float
    context_tokens: int | None = strawberry.field(
        description="Of a prompt, as estimated. Null: as the deployment is set up."
    )
    cache_answers: bool = strawberry.field(description="Whether an answer to the same prompt may be given again.")
    document_scope: DocumentScope = strawberry.field(
        description="ASSIGNED: `Viewer.documents(assistantId:)` are searched, and no others."
    )
    created_at: datetime


@backed_by(EdgeRecord, name="AssistantEdge")
class AssistantEdge:
    cursor: str = edge_cursor()
    node: Assistant


@backed_by(ConnectionRecord, name="AssistantConnection")
class AssistantConnection:
    edges: list[AssistantEdge]
    nodes: list[Assistant]
    page_info: PageInfo


@backed_by(EdgeRecord, name="TenantEdge")
class TenantEdge:
    cursor: str = edge_cursor()
    node: Tenant


@backed_by(ConnectionRecord, name="TenantConnection")
class TenantConnection:
    edges: list[TenantEdge]
    nodes: list[Tenant]
    page_info: PageInfo
