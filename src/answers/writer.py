"""The producer's pen: numbers events, appends them, and keeps the answer going when Redis does not.

What is said is queued, and a task writes it with one append under way at a time. Whatever is said meanwhile goes out
with the next append, neighbouring deltas as one; in a busy process that one waits a moment (`answers.pace`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from answers.pace import Pace
from core.ids import TenantId
from core.tasks import end_tasks
from datastores import answers
from datastores.answer_events import TERMINAL, Body, Cited, Delta, Restarted, Started
from datastores.answer_log import AnswerLog, LogLostError, SupersededError
from datastores.postgres import Postgres
from datastores.redis_client import REDIS_ERRORS

MAX_DELTA_CHARS = 16_384
"""Of one delta in the log: a model that says a megabyte at once must not make a megabyte's frame for each viewer."""
_RETRY_SECONDS = 1.0
log = structlog.get_logger(__name__)


class AnswerWriter:
    """Writes one attempt's events. All text and citations stay in memory, so that a lost log can begin again.

    As soon as the answer cannot be written any more (another attempt owns it: `SupersededError`; the database is away
    when it is needed), `lost` is called, and every call raises the reason.
    """

    def __init__(
        self,
        answer_log: AnswerLog,
        postgres: Postgres,
        pace: Pace,
        tenant_id: TenantId,
        answer_id: UUID,
        epoch: int,
        *,
        lost: Callable[[], None],
    ) -> None:
        self._log = answer_log
        self._postgres = postgres
        self._pace = pace
        self._key = (tenant_id, answer_id)
        self._epoch = epoch
        self._on_loss = lost
        self._generation: str | None = None
        self._sequence = 0
        self._said: list[Cited | Delta] = []
        """What has left the queue."""
        self._retry_at = 0.0
        self._queue: list[Body] = []
        self._urgent = True
        """Whether the queue must not wait: something other than text is in it, or the first text, or its end."""
        self._spoken = False
        self._lingering: asyncio.Future[None] | None = None
        self._something = asyncio.Event()
        self._nothing = asyncio.Event()
        """Set while nothing is queued or under way."""
        self._failure: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin the attempt's log, or go on with the one that says that the answer waited."""
        if self._epoch > 1:
            await self._begin([Restarted(self._epoch, "The answer is being written again.")])
        else:
            await self._open()
        self._nothing.set()
        self._task = asyncio.create_task(self._write(), name=f"answer-writer-{self._key[1].hex}")

    async def _open(self) -> None:
        try:
            first = Started(self._key[1], self._epoch)
            self._generation, self._sequence = await self._log.open(*self._key, self._epoch, first)
        except REDIS_ERRORS as error:
            self._lost(error)

    def say(self, events: Sequence[Body]) -> None:
        """Have events appended and published, soon and in order."""
        self.check()
        if not events:
            return
        self._queue += events
        self._nothing.clear()
        self._something.set()
        if not self._spoken or not all(isinstance(event, Delta) for event in events):
            self._spoken = self._spoken or any(isinstance(event, Delta) for event in events)
            self._hurry()

    async def settle(self) -> None:
        """Wait until all that was said has been appended; with Redis away, until it is known to be."""
        self.check()
        self._hurry()
        await self._nothing.wait()
        self.check()

    def check(self) -> None:
        """Raise the reason why the answer cannot be written any more, if there is one."""
        if self._failure is not None:
            raise self._failure

    async def aclose(self) -> None:
        """Stop writing; what is queued is dropped."""
        if self._task is not None:
            await end_tasks([self._task])

    def _hurry(self) -> None:
        self._urgent = True
        if self._lingering is not None and not self._lingering.done():
            self._lingering.set_result(None)

    async def _write(self) -> None:
        try:
            while True:
                await self._something.wait()
                await self._linger()
                self._something.clear()
                events, self._queue = _merged(self._queue), []
                self._urgent = False
                await self._append(events)
                if not self._queue:
                    self._nothing.set()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failure = error
            self._nothing.set()
            self._on_loss()

    async def _linger(self) -> None:
        if self._urgent or (waiting := self._pace.wait()) is None:
            return
        self._lingering = waiting
        try:
            await waiting
        finally:
            self._lingering = None

    async def _append(self, events: list[Body]) -> None:
        """In one round trip. With Redis away they stay in memory until there is more to say."""
        self._said += [event for event in events if isinstance(event, Cited | Delta)]
        if self._generation is None:
            await self._begin_again(events[-1])
            return
        try:
            await self._log.append(*self._key, self._epoch, self._generation, self._sequence + 1, events)
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
        state: list[Body] = [Restarted(self._epoch, "The stream was interrupted and begins again.")]
        state += [event for event in self._said if isinstance(event, Cited)]
        state += _merged([event for event in self._said if isinstance(event, Delta)])
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


def _merged(events: Sequence[Body]) -> list[Body]:
    """The same events, each run of deltas as one, or as several of bounded size; text is cut between code points."""
    if len(events) == 1 and not (isinstance(events[0], Delta) and len(events[0].text) > MAX_DELTA_CHARS):
        return list(events)
    merged: list[Body] = []
    texts: list[str] = []

    def close_run() -> None:
        text = "".join(texts)
        texts.clear()
        merged.extend(Delta(text[at : at + MAX_DELTA_CHARS]) for at in range(0, len(text), MAX_DELTA_CHARS))

    for event in events:
        if isinstance(event, Delta):
            texts.append(event.text)
        else:
            close_run()
            merged.append(event)
    close_run()
    return merged
