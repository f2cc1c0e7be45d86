"""Documents and what is made of them: pages, chunks, embeddings."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlmodel import Field

from core.errors import ErrorCode
from datastores.models.base import TenantRow, moment, tenant_key, text_enum


class DocumentStatus(enum.Enum):
    """Where a document stands. READY, FAILED and CANCELLED are final; READY means searchable."""

    QUEUED = "QUEUED"
    PARSING = "PARSING"
    EMBEDDING = "EMBEDDING"
    READY = "READY"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class ReembeddingStatus(enum.Enum):
    """Where the way into another vector space stands. All but RUNNING are final, until another one is asked for."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Document(TenantRow, table=True):
    """An uploaded file, and the job that makes it searchable. `epoch` is another one for each claim of a worker."""

    __tablename__ = "documents"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        # An uploader who has left is forgotten here, the document stays.
        sa.ForeignKeyConstraint(
            ["tenant_id", "uploaded_by_id"], ["users.tenant_id", "users.id"], ondelete="SET NULL (uploaded_by_id)"
        ),
        sa.Index(None, "tenant_id", "created_at", "id"),
        # One live copy of the same bytes in a tenant.
        sa.Index(
            "uq_documents_live_sha256",
            "tenant_id",
            "sha256",
            unique=True,
            postgresql_where=sa.text("status NOT IN ('FAILED', 'CANCELLED')"),
        ),
        sa.Index(
            "ix_documents_unfinished",
            "heartbeat_at",
            postgresql_where=sa.text("status IN ('QUEUED', 'PARSING', 'EMBEDDING')"),
        ),
    )

    name: str
    content_type: str
    byte_size: int = Field(sa_type=sa.BigInteger)
    sha256: str = Field(sa_type=sa.CHAR(64))
    stored: bool = True
    """Whether the original is still in storage."""
    status: DocumentStatus = Field(default=DocumentStatus.QUEUED, sa_type=text_enum(DocumentStatus))
    encoding: str | None = None
    page_count: int | None = None
    """Pages of the file; None where it has no pages."""
    pages_done: int = 0
    pages_total: int | None = None
    chunks_done: int = 0
    chunks_total: int | None = None
    failure_code: ErrorCode | None = Field(default=None, sa_type=text_enum(ErrorCode))
    failure_message: str | None = None
    failure_retryable: bool | None = None
    epoch: int = 0
    heartbeat_at: datetime = moment()
    uploaded_by_id: UUID | None = None
    created_at: datetime = moment()


class DocumentPage(TenantRow, table=True):
    """The cleaned text of a page. A file without pages is one row with number 1."""

    __tablename__ = "document_pages"
    __table_args__ = (
        tenant_key("document_id", "documents"),
        sa.UniqueConstraint("tenant_id", "document_id", "number"),
    )

    document_id: UUID
    number: int
    text: str
    source_map: list[Any] | None = Field(default=None, sa_type=JSONB)
    """Runs `[start, end, original start]` in code points, from the cleaned text to the extracted one."""


class Chunk(TenantRow, table=True):
    """A passage of one page. `start` and `end` are Unicode code points in the page's text."""

    __tablename__ = "chunks"
    __table_args__ = (
        tenant_key("document_id", "documents"),
        sa.UniqueConstraint("tenant_id", "document_id", "ordinal"),
        sa.Index("ix_chunks_lexemes", "lexemes", postgresql_using="gin"),
    )

    document_id: UUID
    ordinal: int
    page: int | None = None
    text: str
    start: int
    end: int
    lexemes: Any = Field(sa_type=TSVECTOR)


class Embedding(TenantRow, table=True):
    """A chunk's unit vector in one model's space. The column has no dimension; each model has its partial index."""

    __tablename__ = "embeddings"
    __table_args__ = (
        tenant_key("chunk_id", "chunks"),
        sa.UniqueConstraint("tenant_id", "model_id", "chunk_id"),
        sa.Index(None, "tenant_id", "chunk_id"),
    )

    chunk_id: UUID
    model_id: str
    vector: Any = Field(sa_type=HALFVEC)


class Reembedding(TenantRow, table=True):
    """A tenant's last, or only, way into another vector space. `epoch` is another one for each claim of a worker."""

    __tablename__ = "reembeddings"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("tenant_id"),
        sa.Index(
            "ix_reembeddings_unfinished",
            "heartbeat_at",
            postgresql_where=sa.text("status = 'RUNNING' OR leftovers"),
        ),
    )

    model_id: str
    """The space that it leads to."""
    status: ReembeddingStatus = Field(default=ReembeddingStatus.RUNNING, sa_type=text_enum(ReembeddingStatus))
    leftovers: bool = False
    """Whether there are vectors of spaces that nobody searches any more, to be removed."""
    chunks_done: int = 0
    chunks_total: int = 0
    failure_code: ErrorCode | None = Field(default=None, sa_type=text_enum(ErrorCode))
    """Of a running one: why it pauses."""
    failure_message: str | None = None
    failure_retryable: bool | None = None
    failures: int = 0
    """Of the model in a row."""
    epoch: int = 0
    heartbeat_at: datetime = moment()
    created_at: datetime = moment()
    finished_at: datetime | None = moment(nullable=True)
