"""The producer's pen: numbers events, appends them, and keeps the answer going when Redis does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import structlog

from core.ids import TenantId
from datastores import answers
from datastores.answer_events import TERMINAL, Body, Cited, Delta, Restarted, Started
from datastores.answer_log import AnswerLog, LogLostError, SupersededError
from datastores.postgres import Postgres
from datastores.redis_client import REDIS_ERRORS

_RETRY_SECONDS = 1.0
log = structlog.get_logger(__name__)


class AnswerWriter:
    """Writes one attempt's events. All text and citations stay in memory, so that a lost log can begin again.

    Raises `SupersededError` as soon as another attempt owns the answer.
    """

    def __init__(
        self, answer_log: AnswerLog, postgres: Postgres, tenant_id: TenantId, answer_id: UUID, epoch: int
    ) -> None:
        self._log = answer_log
        self._postgres = postgres
        self._key = (tenant_id, answer_id)
        self._epoch = epoch
        self._generation: str | None = None
        self._sequence = 0
        self._said: list[Cited | Delta] = []
        self._retry_at = 0.0

    async def open(self) -> None:
        """Begin the attempt's log, or go on with the one that says that the answer waited."""
        if self._epoch > 1:
            await self._begin([Restarted(self._epoch, "The answer is being written again.")])
            return
        try:
            first = Started(self._key[1], self._epoch)
            self._generation, self._sequence = await self._log.open(*self._key, self._epoch, first)
        except REDIS_ERRORS as error:
            self._lost(error)

    async def emit(self, events: Sequence[Body]) -> None:
        """Append and publish events, in one round trip. With Redis away they wait in memory for the next call."""
        if not events:
            return
        self._said += [event for event in events if isinstance(event, Cited | Delta)]
        if self._generation is None:
            await self._begin_again(events[-1])
            return
        try:
            await self._log.append(*self._key, self._epoch, self._generation, self._sequence + 1, list(events))
            self._sequence += len(events)
        except LogLostError:
            await self._begin_again(events[-1])
        except REDIS_ERRORS as error:
            self._lost(error)
        except asyncio.CancelledError:
            # Whether it has arrived nobody knows: what follows begins a log of its own.
            self._generation = None
            raise

    async def _begin_again(self, last: Body) -> None:
        """A new generation with everything said so far, if the answer is still ours and Redis may be back."""
        if time.monotonic() < self._retry_at:
            return
        async with self._postgres.read(self._key[0]) as tx:
            # A terminal event follows its commit: then the answer is no longer unfinished, but ours all the same.
            mine = isinstance(last, TERMINAL) or await answers.owns(tx, self._key[1], self._epoch)
        if not mine:
            raise SupersededError
        text = "".join(event.text for event in self._said if isinstance(event, Delta))
        state: list[Body] = [Restarted(self._epoch, "The stream was interrupted and begins again.")]
        state += [event for event in self._said if isinstance(event, Cited)]
        if text:
            state.append(Delta(text))
        if not isinstance(last, Cited | Delta):
            state.append(last)
        await self._begin(state)

    async def _begin(self, events: list[Body]) -> None:
        try:
            self._generation = await self._log.begin(*self._key, self._epoch, events)
            self._sequence = len(events)
        except REDIS_ERRORS as error:
            self._lost(error)

    def _lost(self, error: BaseException) -> None:
        self._generation = None
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        log.warning("answer log unreachable", answer=self._key[1].hex, error=type(error).__name__)
