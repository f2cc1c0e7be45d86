"""Who is signed in where, and the secrets that people and programs hold. Of each secret only a hash is stored."""

from __future__ import annotations

import enum
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field

from datastores.models.base import TenantRow, moment, tenant_key, text_enum
from datastores.models.people import Role


class RevocationReason(enum.Enum):
    """Why a session has ended before its time."""

    SIGNED_OUT = "SIGNED_OUT"
    REVOKED = "REVOKED"
    TOKEN_REUSED = "TOKEN_REUSED"  # noqa: S105 - no password, a name
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105 - no password, a name
    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105 - no password, a name
    MEMBER_SUSPENDED = "MEMBER_SUSPENDED"


class Session(TenantRow, table=True):
    """A family of refresh tokens: one sign-in on one device. The authority on whether its access tokens count."""

    __tablename__ = "sessions"
    __table_args__ = (tenant_key("user_id", "users"), sa.Index(None, "tenant_id", "user_id"))

    user_id: UUID
    device: str = ""
    """The client's own description (`User-Agent`), cut to 200 characters."""
    address: str = ""
    """Where it signed in from, or refreshed last."""
    created_at: datetime = moment()
    last_seen_at: datetime = moment()
    expires_at: datetime = Field(sa_type=sa.DateTime(timezone=True))
    revoked_at: datetime | None = moment(nullable=True)
    revocation: RevocationReason | None = Field(default=None, sa_type=text_enum(RevocationReason))


class RefreshToken(TenantRow, table=True):
    """One link of a session's chain. Presented twice, it ends the session: one of the two was a thief."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (tenant_key("session_id", "sessions"), sa.Index(None, "tenant_id", "session_id"))

    session_id: UUID
    token_hash: bytes
    created_at: datetime = moment()
    used_at: datetime | None = moment(nullable=True)


class ApiKey(TenantRow, table=True):
    """A program's credentials, good for what its role may do until it is revoked."""

    __tablename__ = "api_keys"
    __table_args__ = (tenant_key("user_id", "users"), sa.Index(None, "tenant_id", "user_id"))

    user_id: UUID
    """Who made it, and for whom it acts: what it starts belongs to this person."""
    name: str
    role: Role = Field(sa_type=text_enum(Role))
    key_hash: bytes
    hint: str
    """The key's last four characters, to tell keys apart."""
    created_at: datetime = moment()
    last_used_at: datetime | None = moment(nullable=True)
    revoked_at: datetime | None = moment(nullable=True)
