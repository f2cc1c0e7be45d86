"""The outbox."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from datastores.models.base import TenantRow, moment


class OutboxEntry(TenantRow, table=True):
    """Something to carry elsewhere, written in the same transaction as its cause. Deleted when it is delivered."""

    __tablename__ = "outbox"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.Index("ix_outbox_waiting", "topic", "next_try_at", postgresql_where=sa.text("next_try_at IS NOT NULL")),
    )

    topic: str
    payload: dict[str, Any] = Field(sa_type=JSONB)
    created_at: datetime = moment()
    attempts: int = Field(default=None, sa_column_kwargs={"server_default": sa.text("0"), "nullable": False})
    """How often it was claimed; the number fences who claimed it."""
    next_try_at: datetime | None = Field(
        default=None, sa_type=sa.DateTime(timezone=True), sa_column_kwargs={"server_default": sa.func.now()}
    )
    """When it may be claimed (again); None when it was given up."""
    last_error: str | None = None
