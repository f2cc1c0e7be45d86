"""The processes that write answers."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from datastores.models.base import moment


class AnswerProducer(SQLModel, table=True):
    """A process that writes answers, or wrote some. Of the whole platform: it has no tenant."""

    __tablename__ = "answer_producers"

    id: UUID = Field(primary_key=True)
    seen_at: datetime = moment()
    """When it last wrote an answer, as far as it has said: `datastores.answer_producers`."""
