"""Whose document is read next: of the tenant that is worked for the least, and had its last turn the longest ago."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from core.ids import TenantId
from datastores.ingestion import CLAIMED, STALE_AFTER, UNFINISHED
from datastores.models import Document, DocumentStatus
from datastores.records import table
from datastores.tenants import suspended
from datastores.transactions import PlatformTransaction

_documents = table(Document)


@dataclass(frozen=True, slots=True)
class Turn:
    """A document that a worker may claim."""

    tenant_id: TenantId
    document_id: UUID


async def next_turn(
    tx: PlatformTransaction, without: Collection[TenantId] = (), served: Sequence[TenantId] = ()
) -> Turn | None:
    """The next document of any tenant but those `without` a turn; None where none waits, or was left behind.

    `served` are the tenants that had turns, the last of them last. A tenant's own documents go by how long they have
    waited. One statement, over the unfinished documents of all tenants; what it gives may be claimed by somebody else
    the next moment.
    """
    dead = _documents.c.heartbeat_at < sa.func.now() - STALE_AFTER
    claimed = _documents.c.status.in_(CLAIMED)
    in_hand = (
        sa.select(_documents.c.tenant_id, sa.func.count().label("count"))
        .where(claimed, ~dead)
        .group_by(_documents.c.tenant_id)
        .cte("in_hand")
    )
    had_turns = sa.cast(list(served), ARRAY(sa.Uuid()))
    statement = (
        sa.select(_documents.c.tenant_id, _documents.c.id)
        .outerjoin(in_hand, in_hand.c.tenant_id == _documents.c.tenant_id)
        .where(
            # The first condition says no more than the second, but in the words of the index.
            _documents.c.status.in_(UNFINISHED),
            sa.or_(_documents.c.status == DocumentStatus.QUEUED, sa.and_(claimed, dead)),
            _documents.c.tenant_id.not_in(without),
            ~suspended(_documents.c.tenant_id),
        )
        .order_by(
            sa.func.coalesce(in_hand.c.count, 0),
            sa.func.array_position(had_turns, _documents.c.tenant_id).nulls_first(),
            _documents.c.heartbeat_at,
        )
        .limit(1)
    )
    rows: list[Any] = list(await tx.rows(statement))
    return Turn(TenantId(rows[0][0]), rows[0][1]) if rows else None
