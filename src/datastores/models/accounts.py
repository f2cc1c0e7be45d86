"""What lets somebody in by a link in a mail: one-time tokens and invitations. Of each secret only a hash is stored.

A row is there for as long as its link is good; what was used, replaced or revoked is deleted.
"""

from __future__ import annotations

import enum
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field

from datastores.models.base import TenantRow, moment, tenant_key, text_enum
from datastores.models.people import Role


class TokenPurpose(enum.Enum):
    """What a one-time token is good for."""

    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105 - no password, a name
    EMAIL_VERIFICATION = "EMAIL_VERIFICATION"


class OneTimeToken(TenantRow, table=True):
    """A person's link. There is one of each purpose: a newer one takes its place."""

    __tablename__ = "one_time_tokens"
    __table_args__ = (
        tenant_key("user_id", "users"),
        sa.UniqueConstraint("tenant_id", "user_id", "purpose"),
        sa.Index(None, "expires_at"),
    )

    user_id: UUID
    purpose: TokenPurpose = Field(sa_type=text_enum(TokenPurpose))
    token_hash: bytes
    created_at: datetime = moment()
    expires_at: datetime = Field(sa_type=sa.DateTime(timezone=True))


class Invitation(TenantRow, table=True):
    """Somebody may become a member. It goes with whoever invited them; a newer one to the address takes its place."""

    __tablename__ = "invitations"
    __table_args__ = (
        tenant_key("invited_by_id", "users"),
        sa.UniqueConstraint("tenant_id", "email"),
        sa.Index(None, "tenant_id", "invited_by_id"),
        sa.Index(None, "expires_at"),
    )

    email: str
    name: str | None = None
    role: Role = Field(sa_type=text_enum(Role))
    invited_by_id: UUID
    token_hash: bytes
    created_at: datetime = moment()
    expires_at: datetime = Field(sa_type=sa.DateTime(timezone=True))
