"""The audit log."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field

from datastores.models.base import TenantRow, text_enum


class AuditOutcome(enum.Enum):
    """What became of an act."""

    SUCCEEDED = "SUCCEEDED"
    DENIED = "DENIED"
    """Not signed in, not with this role, or with credentials that are wrong."""
    REFUSED = "REFUSED"
    """Allowed, but not as it was asked for."""
    FAILED = "FAILED"
    """By a fault of ours."""


class AuditEntry(TenantRow, table=True):
    """One act. Rows are added and never changed; they outlive what they name, so no key points anywhere.

    Partitioned by month on the id, whose first 48 bits are the milliseconds of `at` (UUIDv7): so the table has the key
    of every other, and a month is a partition that can be dropped.
    """

    __tablename__ = "audit_log"
    __table_args__ = (sa.Index(None, "tenant_id", "at", "id"), {"postgresql_partition_by": "RANGE (id)"})

    # `tenant_id` is the nil UUID where the act is of no tenant: a sign-in for an account that does not exist.
    at: datetime = Field(sa_type=sa.DateTime(timezone=True))
    actor_id: UUID | None = None
    """The person who acted, as far as a genuine token says so."""
    session_id: UUID | None = None
    api_key_id: UUID | None = None
    action: str
    """The mutation's name in the schema, or of what was denied."""
    targets: list[str] = Field(sa_type=ARRAY(sa.String))
    """Opaque ids of what it was done to, and of what it made."""
    address: str
    outcome: AuditOutcome = Field(sa_type=text_enum(AuditOutcome))
    code: str | None = None
    """Why it did not succeed, in the codes that clients get."""
    request_id: str
    details: dict[str, Any] = Field(sa_type=JSONB)
    """Enums, numbers and booleans of the input: never a text, which may be a secret or what somebody wrote."""
