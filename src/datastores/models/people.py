"""Tenants, the people in them, and their assistants."""

from __future__ import annotations

import enum
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from core.ids import new_id
from datastores.models.base import TenantRow, moment, tenant_key, text_enum


class Role(enum.Enum):
    """What a person may do, weakest first."""

    USER = "USER"
    OPERATOR = "OPERATOR"
    BUSINESS = "BUSINESS"
    ADMIN = "ADMIN"

    def covers(self, other: Role) -> bool:
        """Whether it may do all that the other may."""
        return _ROLES.index(self) >= _ROLES.index(other)

    @property
    def reads_all_documents(self) -> bool:
        """Whether it reads all documents of its tenant, not only those in the scope of an assistant."""
        return self.covers(Role.BUSINESS)

    @property
    def sees_colleagues(self) -> bool:
        """Whether it sees who else is in the tenant."""
        return self.covers(Role.OPERATOR)


_ROLES = tuple(Role)


class DocumentScope(enum.Enum):
    """Which documents an assistant draws on: all of its tenant's, or those assigned to it."""

    ALL = "ALL"
    ASSIGNED = "ASSIGNED"


class Tenant(SQLModel, table=True):
    """The unit of isolation: one organisation."""

    __tablename__ = "tenants"
    __table_args__ = (sa.Index(None, "created_at", "id"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    name: str
    embedding_model_id: str
    """The vector space that is searched; changes only when re-embedding in the new one is complete."""
    keep_originals: bool = True
    created_at: datetime = moment()
    suspended_at: datetime | None = moment(nullable=True)
    """Set by an administrator of the platform: nobody of the tenant signs in, reads, or is answered."""
    quota_documents: int | None = Field(default=None, sa_type=sa.BigInteger)
    """How many documents it may keep, where that is not the platform's default; so for the bytes of originals."""
    quota_bytes: int | None = Field(default=None, sa_type=sa.BigInteger)


class User(TenantRow, table=True):
    """A person. The e-mail is stored in lower case and unique platform-wide."""

    __tablename__ = "users"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("email"),
    )

    email: str
    name: str
    role: Role = Field(sa_type=text_enum(Role))
    password_hash: str
    created_at: datetime = moment()
    suspended_at: datetime | None = moment(nullable=True)
    email_verified_at: datetime | None = moment(nullable=True)
    """When a link in a mail to the address was followed first; None while nobody knows whose it is."""


class Assistant(TenantRow, table=True):
    """A use case: prompt, instructions, model and document scope. The oldest one is the tenant's default."""

    __tablename__ = "assistants"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        tenant_key("prompt_id", "prompts", ondelete="SET NULL (prompt_id)"),
    )

    name: str
    instructions: str = ""
    prompt_id: UUID | None = None
    """None: the first of the shipped prompts, as this release has it."""
    prompt_version: int | None = None
    """None: the newest."""
    language: str | None = None
    """In which it answers, as the prompt says it. None: in that of the question."""
    provider: str | None = None
    """None: the deployment's chat provider."""
    model: str | None = None
    fallback_providers: list[str] | None = Field(default=None, sa_type=sa.ARRAY(sa.String))
    """Asked in this order, with their default models, when the provider fails. None: as the deployment is set up."""
    temperature: float = 0.2
    context_tokens: int | None = None
    """Of a prompt, as estimated. None: the deployment's `CONTEXT_TOKENS`."""
    cache_answers: bool = True
    """Whether a model's answer to the same prompt may be given again within `CACHE_TTL_LLM_RESPONSES`."""
    document_scope: DocumentScope = Field(default=DocumentScope.ALL, sa_type=text_enum(DocumentScope))
    created_at: datetime = moment()


class AssistantDocument(TenantRow, table=True):
    """A document within the scope of an assistant whose scope is ASSIGNED."""

    __tablename__ = "assistant_documents"
    __table_args__ = (
        tenant_key("assistant_id", "assistants"),
        tenant_key("document_id", "documents"),
        sa.UniqueConstraint("tenant_id", "assistant_id", "document_id"),
        sa.Index(None, "tenant_id", "document_id"),
    )

    assistant_id: UUID
    document_id: UUID
