"""The audit log, as those who manage an organisation see it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry
from strawberry.scalars import JSON

from core.ids import NodeKind, to_global
from datastores import records
from schema.connections import ConnectionRecord, EdgeRecord, PageInfo, edge_cursor
from schema.enums import AuditOutcome
from schema.records import backed_by, relation
from schema.types.people import User


def _optional_id(kind: NodeKind, key: str, description: str) -> Any:
    def resolve(root: Any) -> strawberry.ID | None:
        value = getattr(root, key)
        return None if value is None else strawberry.ID(to_global(kind, value))

    return strawberry.field(resolver=resolve, description=description)


@backed_by(records.AuditRecord, description="One act: who did what, to what, from where, and what became of it.")
class AuditEntry:
    id: strawberry.ID = strawberry.field(
        resolver=lambda root: strawberry.ID(to_global(NodeKind.AUDIT_ENTRY, root.id)), description="Opaque."
    )
    at: datetime
    action: str = strawberry.field(
        description="A mutation's name, or that of a query or subscription that was denied; `connect` for a socket, "
        "`refreshTokenReuse` for a refresh token that came twice."
    )
    outcome: AuditOutcome
    code: str | None = strawberry.field(description="Why it did not succeed: an `ErrorCode`, or an error's code.")
    actor_id: strawberry.ID | None = _optional_id(
        NodeKind.USER, "actor_id", "Who acted; null where nobody was signed in. It outlives the person."
    )
    actor: User | None = relation("users", "actor_id", "Null where nobody was signed in, or the person is gone.")
    session_id: strawberry.ID | None = _optional_id(NodeKind.SESSION, "session_id", "The session that was used.")
    api_key_id: strawberry.ID | None = _optional_id(NodeKind.API_KEY, "api_key_id", "The API key that was used.")
    targets: list[strawberry.ID] = strawberry.field(
        description="What it was done to, and what it made. The objects may be gone."
    )
    address: str = strawberry.field(description="Where the request came from.")
    request_id: str = strawberry.field(description="`extensions.requestId` of the request's errors.")
    details: JSON = strawberry.field(
        description="Enums, numbers and booleans of the input, by name. Never a text: no secret, and nothing that "
        "somebody wrote."
    )


@backed_by(EdgeRecord, name="AuditEntryEdge")
class AuditEntryEdge:
    cursor: str = edge_cursor()
    node: AuditEntry


@backed_by(ConnectionRecord, name="AuditEntryConnection")
class AuditEntryConnection:
    edges: list[AuditEntryEdge]
    nodes: list[AuditEntry]
    page_info: PageInfo
