"""The prompt library: named system prompts, each in any number of versions."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from datastores.models.base import TenantRow, moment, tenant_key


class Prompt(TenantRow, table=True):
    """A prompt by its name. What it says is in its versions, which are never changed."""

    __tablename__ = "prompts"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("tenant_id", "shipped_key"),
    )

    name: str
    description: str = ""
    shipped_key: str | None = None
    """Of one that came with the product, which (`core.shipped_prompts`)."""
    newest: int = 1
    """The number of its newest version."""
    created_at: datetime = moment()


class PromptVersion(TenantRow, table=True):
    """What a prompt says. Numbers count from 1 without holes."""

    __tablename__ = "prompt_versions"
    __table_args__ = (
        tenant_key("prompt_id", "prompts"),
        sa.UniqueConstraint("tenant_id", "prompt_id", "number"),
    )

    prompt_id: UUID
    number: int
    text: str
    shipped: bool = False
    """Whether it came with the product, and nobody of the tenant wrote it."""
    created_at: datetime = moment()
