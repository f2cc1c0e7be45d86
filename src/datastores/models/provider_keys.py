"""Keys for hosted models that tenants bring themselves."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from datastores.models.base import TenantRow, moment


class ProviderKey(TenantRow, table=True):
    """A tenant's own key for a provider, sealed for the two of them (`core.sealing`). `hint` is its end."""

    __tablename__ = "provider_keys"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("tenant_id", "provider"),
    )

    provider: str
    sealed: str
    hint: str
    set_at: datetime = moment()
