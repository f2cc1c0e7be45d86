"""What of an answer lies behind a viewer's place: its log, and where that is gone the stored answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from core.ids import TenantId
from datastores.answer_events import LogEvent, Restarted, Started, Step
from datastores.answer_log import AnswerLog, LogSlice
from datastores.postgres import Postgres
from datastores.redis_client import REDIS_ERRORS
from resolvers.following.snapshot import read_snapshot

RETRY_SECONDS = 1.0
"""Pause after Redis or PostgreSQL could not be read."""
_BEGINS_AGAIN = "The stream was interrupted and begins again."


class Place(NamedTuple):
    """After which event a viewer stands. Without a generation it stands before everything."""

    generation: str | None
    sequence: int


BEGINNING: Final = Place(None, 0)


@dataclass(frozen=True, slots=True)
class Page:
    """Events after a place, in order, and whether there are more of them now. Viewers share it: nobody changes it."""

    events: Sequence[LogEvent]
    more: bool


class AnswerPast:
    """Reads what lies behind, a page at a time, so that nobody holds the whole of a long answer."""

    def __init__(self, log: AnswerLog, postgres: Postgres, tenant_id: TenantId, answer_id: UUID) -> None:
        self._log, self._postgres = log, postgres
        self._key = (tenant_id, answer_id)

    async def after(self, place: Place) -> Page:
        """What follows a place: of the log, or of the finished answer where the log is gone or at its end.

        Nothing, after a pause, while neither can be read.
        """
        try:
            log = await self._log.read(*self._key, place.generation, place.sequence)
        except REDIS_ERRORS:
            await asyncio.sleep(RETRY_SECONDS)
            log = None
        if log is not None and log.events:
            return Page(_replayed(log), log.more)
        try:
            return Page(*await read_snapshot(self._postgres, *self._key, place.generation, place.sequence))
        except (SQLAlchemyError, OSError):
            await asyncio.sleep(RETRY_SECONDS)
            return Page((), more=False)


def _replayed(log: LogSlice) -> list[LogEvent]:
    first = log.events[0]
    if log.restarts and isinstance(first.body, Started | Step):
        # The viewer holds text of a log that is gone: this one must tell it to forget that.
        log.events[0] = LogEvent(first.generation, first.sequence, Restarted(1, _BEGINS_AGAIN), first.sequence)
    return log.events
