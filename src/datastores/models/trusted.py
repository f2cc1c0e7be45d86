"""Trusted documents."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from datastores.models.base import moment


class TrustedDocument(SQLModel, table=True):
    """A GraphQL document that may be asked for by its hash. Of the whole platform: it has no tenant."""

    __tablename__ = "trusted_documents"

    hash: str = Field(primary_key=True, max_length=64)
    """SHA-256 of the text, in 64 hexadecimal digits."""
    name: str | None = None
    """Of its operation."""
    text: str
    added_at: datetime = moment()
