"""Following an answer: subscribe, replay, live.

The rule that keeps the stream whole: listen to the live channel first, then read the log after the client's place,
then pass on what is live and not yet seen. Whenever that does not fit together (a hole, another generation, a lost
connection, silence) the log is read again; where there is no log, the stored answer is sent as a snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from core.errors import ErrorCode, RequestError
from core.ids import InvalidIdError, NodeKind, TenantId
from datastores import answers, redis_keys
from datastores.answer_events import (
    Body,
    Cited,
    Completed,
    Cursor,
    Delta,
    Failed,
    LogEvent,
    Restarted,
    Started,
    Step,
    Stopped,
    decode_cursor,
    decode_event,
    merge_deltas,
)
from datastores.answer_log import LogSlice
from datastores.live import LiveFeed
from datastores.models import AnswerStatus
from datastores.records import AnswerRecord, CitationRecord
from datastores.redis_client import REDIS_ERRORS
from loaders.chat import CitationsByAnswer
from resolvers.arguments import argument_id
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.services import Services

SILENCE_SECONDS = 5.0
"""After so long without an event a follower looks in the log and in PostgreSQL."""
RETRY_SECONDS = 1.0
"""Pause after Redis or PostgreSQL could not be read."""
MERGE_FROM = 32
"""Waiting events from which deltas are merged: the viewer's socket is behind."""


async def follow_answer(context: Context, answer_id: str, after: str | None) -> AsyncGenerator[LogEvent, None]:
    """The answer's events from its beginning or after a cursor, ending with the terminal one.

    Raises `RequestError` at once: a malformed id or cursor, a cursor of another answer, an unknown or foreign answer.
    """
    wanted = argument_id(NodeKind.ANSWER, answer_id)
    person = await context.authorise(Operation.ANSWER)
    if not await answers.own_answers(context.reads, person.id, [wanted]):
        raise RequestError.bad_input("There is no such answer.")
    cursor: Cursor | None = None
    if after is not None:
        try:
            cursor = decode_cursor(after)
        except InvalidIdError as error:
            raise RequestError.bad_input(str(error)) from None
        if cursor.answer_id != wanted:
            raise RequestError.bad_input("`after` is a cursor of another answer.")
    # A subscription must not sit on a connection of the pool while it waits.
    await context.reads.aclose()
    return _Follower(context.services, TenantId(person.tenant_id), wanted, cursor).events()


class _Follower:
    """Where one viewer stands: the generation and the last sequence it was sent."""

    def __init__(self, services: Services, tenant_id: TenantId, answer_id: UUID, cursor: Cursor | None) -> None:
        self._services = services
        self._key = (tenant_id, answer_id)
        self._generation = cursor.generation if cursor else None
        self._sequence = cursor.sequence if cursor else 0

    async def events(self) -> AsyncGenerator[LogEvent, None]:
        async with self._services.live.follow(redis_keys.answer_live(*self._key)) as feed:
            replay = True
            while True:
                batch = await (self._stored() if replay else self._live(feed))
                replay = batch is None
                for event in batch or ():
                    self._generation, self._sequence = event.generation, event.sequence
                    yield event
                    if event.terminal:
                        return

    async def _live(self, feed: LiveFeed) -> list[LogEvent] | None:
        """What is live and next in order; None when the log must be read again."""
        messages = await feed.take(SILENCE_SECONDS)
        if not messages:
            return None
        events: list[LogEvent] = []
        expected = self._sequence + 1
        for message in messages:
            event = decode_event(message)
            if event.generation != self._generation or event.sequence > expected:
                return events or None
            if event.sequence == expected:
                events.append(event)
                expected += 1
        return merge_deltas(events) if len(events) >= MERGE_FROM else events

    async def _stored(self) -> list[LogEvent]:
        """What the log holds after the viewer's place; without a log, the finished answer as a snapshot."""
        try:
            log = await self._services.answer_log.read(*self._key, self._generation, self._sequence)
        except REDIS_ERRORS:
            await asyncio.sleep(RETRY_SECONDS)
            log = None
        if log is not None and log.events:
            return self._replayed(log)
        try:
            return await self._snapshot()
        except (SQLAlchemyError, OSError):
            await asyncio.sleep(RETRY_SECONDS)
            return []

    def _replayed(self, log: LogSlice) -> list[LogEvent]:
        first = log.events[0]
        if log.restarts and isinstance(first.body, Started | Step):
            # The viewer holds text of a log that is gone: this one must tell it to forget that.
            log.events[0] = LogEvent(first.generation, first.sequence, Restarted(1, _BEGINS_AGAIN), first.sequence)
        return log.events

    async def _snapshot(self) -> list[LogEvent]:
        """The stored answer as events of a generation of its own; nothing while it is unfinished."""
        tenant_id, answer_id = self._key
        async with self._services.postgres.read(tenant_id) as tx:
            answer = await answers.answer_by_id(tx, answer_id)
            if answer is None:
                gone = Failed(answer_id, ErrorCode.NOT_FOUND, "The answer was deleted.", False)
                return [LogEvent("gone", 1, gone, 1)]
            if answer.status in answers.UNFINISHED:
                return []
            text = await answers.message_of(tx, answer_id)
            citations = (await CitationsByAnswer(tx).load_many([answer_id]))[0]
        generation = f"final{answer.epoch}"
        bodies = _snapshot_bodies(answer, text, citations)
        seen = self._sequence if self._generation == generation else 0
        return [
            LogEvent(generation, number, body, number) for number, body in enumerate(bodies, start=1) if number > seen
        ]


_BEGINS_AGAIN = "The stream was interrupted and begins again."


def _snapshot_bodies(answer: AnswerRecord, text: str | None, citations: Sequence[CitationRecord]) -> list[Body]:
    bodies: list[Body] = [Restarted(answer.epoch, "The answer has finished; this is what was stored.")]
    bodies += [
        Cited(c.marker, c.chunk_id, c.document_id, c.document_name, c.page, c.quote, c.distance) for c in citations
    ]
    if text:
        bodies.append(Delta(text))
    if answer.status is AnswerStatus.COMPLETED:
        bodies.append(Completed(answer.id))
    elif answer.status is AnswerStatus.STOPPED:
        bodies.append(Stopped(answer.id))
    else:
        bodies.append(
            Failed(
                answer.id,
                answer.failure_code or ErrorCode.INTERNAL,
                answer.failure_message or "The answer failed.",
                bool(answer.failure_retryable),
            )
        )
    return bodies
